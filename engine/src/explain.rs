//! A pipeline as text for people.

use std::collections::HashMap;
use std::fmt::Write;

use crate::binding::Input;
use crate::graph::{Graph, Node, Role};

/// The graph, a line per step, each below what it takes its records from.
pub(crate) fn explain(job: &str, graph: &Graph, inputs: &HashMap<String, Input>) -> String {
    let mut text = format!("job {job}\n");
    for (at, node) in graph.nodes.iter().enumerate() {
        line(&mut text, at, node, graph);
        if let Role::Source(role) = &node.role
            && let Some(input) = inputs.get(&role.topic).and_then(Input::describe)
        {
            text.push_str(&format!("{:19}read from {input}\n", ""));
        }
    }
    text
}

fn line(text: &mut String, at: usize, node: &Node, graph: &Graph) {
    let mut line = format!("{at:>4}  {:<12} {}", node.verb, node.id);
    let mut add = |part: std::fmt::Arguments<'_>| line.write_fmt(part).unwrap_or_default();
    if !node.detail.is_empty() {
        add(format_args!("  {}", node.detail));
    }
    let from: Vec<String> = node
        .inputs
        .iter()
        .map(|edge| match (&graph.nodes[edge.node].role, edge.output) {
            (_, 0) => edge.node.to_string(),
            (Role::Source(_), _) => format!("{} bad records", edge.node),
            (_, output) if graph.nodes[edge.node].tables.is_empty() => format!("{} part {output}", edge.node),
            _ => format!("{} late records", edge.node),
        })
        .collect();
    if !from.is_empty() {
        add(format_args!("  ← {}", from.join(", ")));
    }
    text.push_str(&line);
    text.push('\n');
    for table in &node.tables {
        text.push_str(&format!("{:19}table {}: {} → {}\n", "", table.name, table.key, table.value));
    }
}
