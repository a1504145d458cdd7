//! The way of dead letters back into a job: nodes of its graph that read the redrive queue, keep the ids that came, and
//! lead what is admitted to the operator that failed.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use headwater_operators::{Batch, Clock, Merge, MergeInput, Message, Origin, Output, Progress, Timestamp, Turn};

use super::event::{Event, Ruling, What};
use super::{DeadLetter, Signature};
use crate::bad_record::BadRecords;
use crate::build::Build;
use crate::graph::{Edge, GraphRef, Node, OutputPort, Role, erase, typed};
use crate::{Error, LetterKind, Result, Stream, Topic};

/// The queue as a topic of the job that its users do not see; and where refusals go.
pub(crate) const QUEUE: &str = ".redrive";
/// Where those are counted that need no more attention: when they were written, in microseconds.
pub(crate) const SETTLED: &str = ".settled";

/// What was written to [`SETTLED`].
pub(crate) fn settled_times(lines: &[u8]) -> Result<Vec<i64>> {
    let times = serde_json::Deserializer::from_slice(lines).into_iter().collect::<Result<_, _>>();
    times.map_err(|error| Error::bug("the times of settled letters cannot be read").caused_by(error))
}

/// Makes a record or an item of a dead letter again.
pub(crate) type Redecode<T> = Arc<dyn Fn(&DeadLetter) -> Result<T> + Send + Sync>;

/// What a graph knows of it.
#[derive(Clone)]
pub(crate) struct WayBack {
    /// Where rulings come from.
    rulings: Edge,
    desk: Arc<Mutex<Desk>>,
}

/// What rulings go by.
#[derive(Default)]
struct Desk {
    /// The operators that take letters back.
    routes: BTreeSet<String>,
    /// Which life of the job runs; known once it is built.
    incarnation: String,
    /// Whether its outboxes deliver.
    delivers: bool,
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl WayBack {
    /// Whether an operator takes letters back.
    pub fn leads_to(&self, operator: &str) -> bool {
        lock(&self.desk).routes.contains(operator)
    }
}

/// Puts what is redriven to `operator` behind `stream`, as records that `decode` makes; and gives the letters of those that
/// fail again. It holds no watermark back, and is no part of any id.
pub(crate) fn into<T: Send + 'static>(
    stream: Stream<Vec<T>>,
    operator: &str,
    decode: Redecode<T>,
) -> (Stream<Vec<T>>, Stream<Vec<DeadLetter>>) {
    let graph = Rc::clone(&stream.graph);
    let way_back = way_back(&graph);
    let desk = Arc::clone(&way_back.desk);
    lock(&desk).routes.insert(operator.to_owned());
    let operator = operator.to_owned();
    let node = Node {
        id: format!("{operator}/redrive"),
        verb: "redrive",
        detail: String::new(),
        inputs: vec![stream.edge, way_back.rulings],
        outputs: vec![OutputPort::timed(stream.is_timed()), OutputPort::timed(false)],
        tables: Vec::new(),
        setting: String::new(),
        role: Role::Step,
        build: Arc::new(move |build: &mut Build, mut nexts| {
            {
                let mut desk = lock(&desk);
                desk.incarnation.clone_from(&build.signature.incarnation);
                desk.delivers = build.delivers;
            }
            let letters = typed::<Vec<DeadLetter>>(nexts.pop())?;
            let mut inputs = Merge::inputs(2, typed::<Vec<T>>(nexts.pop())?);
            let (back, main) = (inputs.pop(), inputs.pop());
            let (Some(back), Some(main)) = (back, main) else {
                return Err(Error::bug("a merge of two has two inputs"));
            };
            let failed = std::rc::Rc::new(std::cell::Cell::new(0));
            let gauge = Rc::clone(&failed);
            build.gauges.push(Box::new(move |counts| counts.bad += gauge.get()));
            let feed = Feed {
                operator: operator.clone(),
                decode: Arc::clone(&decode),
                signature: Arc::clone(&build.signature),
                now: Timestamp::MIN,
                failed,
                next: back,
                letters,
                is_idle: false,
            };
            Ok(vec![erase::<Vec<T>>(build.named(main)), erase::<Vec<Ruling>>(build.named(feed))])
        }),
    };
    let node = graph.borrow_mut().add(node);
    (Stream::new(Rc::clone(&graph), Edge { node, output: 0 }), Stream::new(graph, Edge { node, output: 1 }))
}

/// The nodes that all operators share, made when the first one wants them.
fn way_back(graph: &GraphRef) -> WayBack {
    if let Some(way_back) = graph.borrow().way_back.clone() {
        return way_back;
    }
    let desk: Arc<Mutex<Desk>> = Arc::default();
    let at_the_desk = Arc::clone(&desk);
    let queue = crate::job::add_source(graph, Topic::json::<Event>(QUEUE));
    crate::job::set_policy(&queue, BadRecords::Skip);
    let rulings = queue.key_by_ref(|event: &Event| &event.id).process(
        QUEUE,
        move |turn: &mut Turn<'_, String, String, Ruling>, event| {
            let ruling = lock(&at_the_desk).rule(turn, event);
            if let Some(ruling) = ruling {
                turn.emit(ruling);
            }
            Ok(())
        },
        |_: &mut Turn<'_, String, String, Ruling>, _, _: Clock| Ok(()),
    );
    // A clone has the output shared by whoever takes it.
    let edge = rulings.clone().edge;
    let refusals = |ruling| if let Ruling::Refused(event) = ruling { Some(event) } else { None };
    rulings.clone().flat_map(refusals).sink::<crate::format::Json>(Topic::json(QUEUE));
    let settled = |ruling| match ruling {
        Ruling::Admitted { letter, counts: true } => Some(letter.written().unwrap_or(Timestamp::MIN)),
        Ruling::Dropped(written) => Some(written.unwrap_or(Timestamp::MIN)),
        Ruling::Admitted { .. } | Ruling::Refused(_) => None,
    };
    rulings.flat_map(settled).map(Timestamp::as_micros).sink::<crate::format::Json>(Topic::json(SETTLED));
    let way_back = WayBack { rulings: edge, desk };
    graph.borrow_mut().way_back = Some(way_back.clone());
    way_back
}

impl Desk {
    /// What is to be done about an event, by what came of the same letter before.
    fn rule(&self, turn: &mut Turn<'_, String, String, Ruling>, event: &Event) -> Option<Ruling> {
        let counts = event.incarnation.as_ref().is_none_or(|of| *of == self.incarnation);
        let (what, refusal) = match (event.what, turn.state().map(String::as_str)) {
            // What this operator has said itself.
            (What::Refused | What::RefusedTwice, _) | (What::Dropped, Some(_)) => return None,
            (What::Dropped, None) if !counts => return None,
            (What::Dropped, None) => {
                *turn.state_mut() = Some(event.what.done().to_owned());
                return Some(Ruling::Dropped(event.written));
            }
            (What::Redriven, Some(before)) => (What::RefusedTwice, format!("it was {before} before")),
            (What::Redriven, None) => match self.admit(event, counts) {
                Ok(letter) => {
                    *turn.state_mut() = Some(event.what.done().to_owned());
                    return Some(Ruling::Admitted { letter, counts });
                }
                Err(refusal) => (What::Refused, refusal),
            },
        };
        tracing::warn!(id = event.id, refusal, "refused to redrive a dead letter");
        let (at, by) = (turn.now(), "job".to_owned());
        let refused = Event { what, at, by, reason: Some(refusal), ..event.audited() };
        Some(Ruling::Refused(refused))
    }

    fn admit(&self, event: &Event, is_ours: bool) -> Result<Box<DeadLetter>, String> {
        let Some(letter) = &event.letter else { return Err("there is no letter with it".to_owned()) };
        refusal(letter).map_or(Ok(()), Err)?;
        let operator = letter.operator();
        if !self.routes.contains(operator) {
            return Err(format!("the job has no operator {operator} that takes letters back"));
        }
        match letter.kind {
            LetterKind::FailedDelivery if !self.delivers => Err("this run delivers nothing".to_owned()),
            LetterKind::BadRecord if !is_ours => {
                Err("the job has started over since, and reads its record again by itself".to_owned())
            }
            _ => Ok(letter.clone()),
        }
    }
}

/// Why a letter can never be taken back, if so.
pub(crate) fn refusal(letter: &DeadLetter) -> Option<String> {
    match letter.kind {
        LetterKind::LateRecord => Some("its window is closed: a late record would be late again".to_owned()),
        LetterKind::TooLarge => Some("it is too large for its topic, and the letter has a part of it only".to_owned()),
        LetterKind::BadRecord | LetterKind::FailedDelivery => {
            let is_broken = letter.bytes().is_none() && (letter.payload_hex.is_some() || letter.origin.is_none());
            is_broken.then(|| "its bytes cannot be read from the letter".to_owned())
        }
    }
}

/// The input of a merge that redriven letters come by.
struct Feed<T> {
    operator: String,
    decode: Redecode<T>,
    signature: Arc<Signature>,
    /// The last tick.
    now: Timestamp,
    /// Those that failed again.
    failed: Rc<std::cell::Cell<u64>>,
    next: MergeInput<Vec<T>>,
    letters: Box<dyn Output<Vec<DeadLetter>>>,
    is_idle: bool,
}

impl<T: Send + 'static> Feed<T> {
    fn batch(&mut self, batch: Batch<Vec<Ruling>>) -> Result<()> {
        let (mut records, mut failed) = (Vec::new(), Vec::new());
        for ruling in batch.records {
            let Ruling::Admitted { letter, .. } = ruling else { continue };
            if letter.operator() != self.operator {
                continue;
            }
            match (self.decode)(&letter) {
                Ok(record) => records.push(record),
                Err(error) if error.kind() == crate::Kind::Record => {
                    let mut again = letter.again(&error);
                    self.signature.sign(&mut again, self.now);
                    failed.push(again);
                }
                Err(error) => return Err(error.within(format!("redrive {}", letter.id()))),
            }
        }
        self.failed.set(self.failed.get() + failed.len() as u64);
        let times = |rows| vec![Timestamp::MIN; rows];
        if !failed.is_empty() {
            let times = times(failed.len());
            self.letters.send(Message::Batch(Batch { credit: batch.credit.clone(), ..Batch::new(failed, times) }))?;
        }
        if records.is_empty() {
            return Ok(());
        }
        let times = times(records.len());
        let (origin, credit) = (Origin::NOWHERE, batch.credit);
        self.next.send(Message::Batch(Batch { origin, credit, ..Batch::new(records, times) }))?;
        // The watermark is for others to make.
        self.next.send(Message::Idle)
    }
}

impl<T: Send + 'static> Output<Vec<Ruling>> for Feed<T> {
    fn send(&mut self, message: Message<Vec<Ruling>>) -> Result<()> {
        if !std::mem::replace(&mut self.is_idle, true) {
            self.next.send(Message::Idle)?;
        }
        match message {
            Message::Batch(batch) => self.batch(batch),
            Message::Tick(now) => {
                self.now = now;
                self.letters.send(Message::Tick(now))?;
                self.next.send(Message::Tick(now))
            }
            Message::Barrier(epoch) => {
                self.letters.send(Message::Barrier(epoch))?;
                self.next.send(Message::Barrier(epoch))
            }
            Message::End => {
                self.letters.send(Message::End)?;
                self.next.send(Message::End)
            }
            Message::Watermark(_) | Message::Idle | Message::Origin(..) => Ok(()),
        }
    }

    fn work(&mut self) -> Result<Progress> {
        match (self.letters.work()?, self.next.work()?) {
            (Progress::Done, Progress::Done) => Ok(Progress::Done),
            _ => Ok(Progress::Pending),
        }
    }
}
