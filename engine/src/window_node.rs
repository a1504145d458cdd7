//! A window aggregate as a node of the graph.

use std::sync::Arc;
use std::time::Duration;

use headwater_operators::{
    Aggregate, Counter, Fork, Keying, Output, Panes, Records, SideOutput, Trigger, WindowAggregate,
};

use headwater_operators::time::span;

use crate::graph::{Edge, Node, OutputPort, Role, typed};
use crate::job::chain;
use crate::late::LateSink;
use crate::stream::Stream;

/// Adds a window aggregate behind a keyed stream.
pub(crate) fn add<R, G, A, T>(
    stream: Stream<R>,
    operator: WindowAggregate<G, A, T>,
    late: Option<LateSink<R>>,
) -> Stream<Panes<R, G, A>>
where
    R: Records,
    G: Keying<R>,
    A: Aggregate<R>,
    T: Trigger<A::Output>,
{
    check(&stream, &operator);
    let (add_late, connect) = late.map(|late| (late.add, late.connect)).unzip();
    let late_output = OutputPort { optional: connect.is_none(), ..OutputPort::timed(true) };
    let id = operator.id.clone();
    let tables = operator.tables::<R>();
    let detail = detail(&operator);
    let node = Node {
        id,
        verb: "window",
        detail,
        inputs: vec![stream.edge],
        outputs: vec![OutputPort::timed(true), late_output],
        tables,
        setting: operator.windows.shape(),
        role: Role::Step,
        build: Arc::new(move |build, mut nexts| {
            let late_port = if nexts.len() > 1 { nexts.pop() } else { None };
            let mut next: Box<dyn Output<Panes<R, G, A>>> = typed(nexts.pop())?;
            let mut late = None;
            if let Some(connect) = connect {
                let (rows, control) = connect(late_port)?;
                late = Some(rows);
                next = Box::new(Fork::new(next, SideOutput::new(control)));
            }
            // One per worker and attempt: a worker that prepares has counted its own rows of the epoch, not its peers',
            // and rows of an attempt that failed are counted when they come again.
            let late_rows = Counter::new();
            let opened = operator.open::<R>(&build.local, late, late_rows.clone())?;
            build.gauges.push(Box::new(move |counts| counts.late += late_rows.get()));
            Ok(vec![chain(build, opened, next)])
        }),
    };
    let graph = stream.graph;
    let node = graph.borrow_mut().add(node);
    if let Some(add_late) = add_late {
        add_late(&graph, Edge { node, output: 1 });
    }
    Stream::new(graph, Edge { node, output: 0 })
}

/// Notes what is wrong with it.
fn check<R: Records, G, A, T>(stream: &Stream<R>, operator: &WindowAggregate<G, A, T>) {
    if !stream.is_timed() {
        stream.mistake(format!(
            "the window `{}` has no event time: say when records happened with `.event_time(|record| …, \
             Lateness::minutes(5))` before `.key_by(…)`",
            operator.id
        ));
    }
    if let Err(error) = operator.windows.check() {
        stream.mistake(format!("the window `{}`: {error}", operator.id));
    }
}

/// What `explain` says of it.
fn detail<G, A, T>(operator: &WindowAggregate<G, A, T>) -> String {
    match operator.allowed_lateness {
        Duration::ZERO => operator.windows.shape(),
        allowed => format!("{}, allowed lateness {}", operator.windows.shape(), span(allowed)),
    }
}
