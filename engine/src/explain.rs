//! A pipeline as text for people.

use std::fmt::Write;

use crate::binding::{Input, Output};
use crate::graph::{Graph, Node, Role, is_internal};
use crate::plan::Bindings;

/// The graph, a line per step, each below what it takes its records from.
pub(crate) fn explain(job: &str, graph: &Graph, bindings: &Bindings) -> String {
    let mut text = format!("job {job}\n");
    for (at, node) in graph.nodes.iter().enumerate().filter(|(_, node)| !is_internal(&node.id)) {
        line(&mut text, at, node, graph);
        let (verb, place) = match &node.role {
            Role::Source(role) => ("read from", bindings.inputs.get(&role.topic).and_then(Input::describe)),
            Role::Sink(role) => ("written to", bindings.outputs.get(&role.topic).and_then(Output::describe)),
            Role::Outbox(_) | Role::Step => continue,
        };
        if let Some(place) = place {
            text.push_str(&format!("{:19}{verb} {place}\n", ""));
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
            _ if is_internal(&graph.nodes[edge.node].id) => "redriven letters".to_owned(),
            (Role::Outbox(_), _) => format!("{} what was not delivered", edge.node),
            (Role::Sink(_), _) => format!("{} too large records", edge.node),
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
