//! Everything that may happen: what instances do, what the broker does, and what goes wrong.

use crate::checks;
use crate::epoch::{Delivery, Request};
use crate::opening::{Actor, DONE, Done};
use crate::rules::Rules;
use crate::scope::{Fault, Scope};
use crate::search::Model;
use crate::world::{INSTANCES_MAX, Instance, Late, Run, SHARDS, Store, TxnState, World, small};

/// Instance and shard are numbers. An instance's own actions come first, then the broker's, then faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Join(usize),
    Sync(usize),
    Lose(usize),
    LetGo(usize, usize),
    Look(usize, usize),
    Fence(usize, usize),
    Stable(usize, usize),
    LookAgain(usize, usize),
    Tail(usize, usize),
    Replay(usize, usize),
    Process(usize, usize),
    Tick(usize, usize),
    Write(usize),
    Offsets(usize),
    End(usize),
    GiveIn(usize),
    Init(usize),
    Decide(usize),
    Flush(usize),
    Trim(usize),

    Mark(usize, usize),
    Materialise(usize),
    Expire(usize),

    // These cost nothing, but nobody may count on them.
    Arrive,
    Thaw(usize),
    Restart(usize),

    Kill(usize),
    Freeze(usize),
    TimeOut(usize),
    AskFor(usize, usize),
    LoseOutput(usize, usize),
    LoseEntry(usize),
    OffsetsGo(usize, Request),
    EndGoes(usize, Request),
}

use Action::*;

/// The protocol, some of its rules perhaps left out, in a scope.
#[derive(Clone, Copy)]
pub struct Protocol {
    pub scope: Scope,
    pub rules: Rules,
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    /// All instances are members; the first has been assigned everything, and nothing is committed.
    fn start(&self) -> World {
        let mut instances = [Instance::down(); INSTANCES_MAX];
        instances[..self.scope.instances].fill(Instance::started());
        let mut world = World {
            logs: Default::default(),
            commits: Default::default(),
            pending: Default::default(),
            txns: Default::default(),
            group: Default::default(),
            instances,
            stores: [Store::default(); INSTANCES_MAX],
            late: Late::Nothing,
            truth: [0; SHARDS],
            inputs: self.scope.inputs,
            faults_left: self.scope.faults,
        };
        (0..self.scope.instances).for_each(|id| world.join(id));
        for id in 0..self.scope.instances {
            world.sync(id);
        }
        world
    }

    fn actions(&self) -> Vec<Action> {
        let mut actions = vec![Arrive];
        for id in 0..self.scope.instances {
            actions.extend([Join(id), Sync(id), Lose(id), Write(id), Offsets(id), End(id), GiveIn(id), Init(id)]);
            actions.extend([Decide(id), Flush(id), Trim(id), Materialise(id), Expire(id), Thaw(id), Restart(id)]);
            actions.extend([Tick(id, 0), Kill(id), Freeze(id), TimeOut(id), LoseEntry(id)]);
            for shard in 0..SHARDS {
                actions.extend([Look(id, shard), Fence(id, shard), Stable(id, shard), LookAgain(id, shard)]);
                actions.extend([Tail(id, shard), Replay(id, shard), Process(id, shard), LetGo(id, shard)]);
                actions.extend([Mark(id, shard), AskFor(id, shard), LoseOutput(id, shard)]);
            }
            actions.extend([OffsetsGo(id, Request::Delayed), OffsetsGo(id, Request::Doubled)]);
            actions.extend(
                [Request::MarkersLate, Request::AnswerLost, Request::Delayed, Request::Doubled]
                    .map(|kind| EndGoes(id, kind)),
            );
        }
        actions.retain(|action| self.is_in_scope(*action));
        actions
    }

    fn apply(&self, world: &mut World, action: Action) -> Done {
        let actor = actor(action);
        let cannot_act = actor.is_some_and(|id| world.instances[id].run != Run::Up);
        if fault(action).is_some() && world.faults_left == 0 || cannot_act {
            return None;
        }
        let outcome = match actor {
            Some(id) => self.act(world, id, action),
            None => Self::befall(world, action),
        }?;
        world.faults_left -= u8::from(fault(action).is_some());
        world.normalise();
        Some(outcome)
    }

    fn is_fair(&self, world: &World, action: Action) -> bool {
        match action {
            Arrive => false,
            // Whoever is left must do without the others.
            Thaw(_) | Restart(_) => world.instances.iter().all(|instance| instance.run != Run::Up),
            _ => fault(action).is_none(),
        }
    }

    fn is_goal(&self, world: &World) -> bool {
        checks::all_is_committed(world)
    }
}

fn fault(action: Action) -> Option<Fault> {
    match action {
        Kill(_) => Some(Fault::Kill),
        Freeze(_) => Some(Fault::Freeze),
        TimeOut(_) => Some(Fault::TimeOut),
        AskFor(..) => Some(Fault::Move),
        LoseOutput(..) | LoseEntry(_) => Some(Fault::Undelivered),
        OffsetsGo(..) | EndGoes(..) => Some(Fault::Request),
        _ => None,
    }
}

/// The instance that acts, unless it is the broker or fate.
fn actor(action: Action) -> Option<usize> {
    match action {
        Arrive | Mark(..) | Materialise(_) | Expire(_) | Thaw(_) | Restart(_) | Kill(_) | TimeOut(_) | AskFor(..) => {
            None
        }
        Join(id)
        | Sync(id)
        | Lose(id)
        | Write(id)
        | Offsets(id)
        | End(id)
        | GiveIn(id)
        | Init(id)
        | Decide(id)
        | Flush(id)
        | Trim(id)
        | Freeze(id)
        | LoseEntry(id)
        | Tick(id, _)
        | Look(id, _)
        | Fence(id, _)
        | Stable(id, _)
        | LookAgain(id, _)
        | Tail(id, _)
        | Replay(id, _)
        | Process(id, _)
        | LetGo(id, _)
        | LoseOutput(id, _)
        | OffsetsGo(id, _)
        | EndGoes(id, _) => Some(id),
    }
}

impl Protocol {
    fn is_in_scope(&self, action: Action) -> bool {
        match action {
            Tick(..) => self.scope.has_timer,
            Flush(_) => self.scope.has_store,
            _ => fault(action).is_none_or(|kind| self.scope.kinds.contains(&kind)),
        }
    }

    /// What an instance does by itself.
    fn act(&self, world: &mut World, id: usize, action: Action) -> Done {
        let is_free = world.late == Late::Nothing;
        let mut me = Actor { world, rules: self.rules, counts_costs: self.scope.counts_costs, id };
        match action {
            Join(_) => me.join(),
            Sync(_) => me.sync(),
            Lose(_) => me.lose(),
            LetGo(_, shard) => me.let_go(shard),
            Look(_, shard) => me.look(shard),
            Fence(_, shard) => me.fence(shard),
            Stable(_, shard) => me.stable(shard),
            LookAgain(_, shard) => me.look_again(shard),
            Tail(_, shard) => me.tail(shard),
            Replay(_, shard) => me.replay(shard),
            Process(_, shard) => me.process(shard, Delivery::Done),
            Tick(_, shard) => me.tick(shard),
            Write(_) => me.write(Delivery::Done),
            Offsets(_) => me.offsets(Request::Answered),
            End(_) => me.end(Request::Answered),
            GiveIn(_) => me.give_in(),
            Init(_) => me.init(),
            Decide(_) => me.decide(),
            Flush(_) => me.flush(),
            Trim(_) => me.trim(),
            LoseOutput(_, shard) => me.process(shard, Delivery::Failed),
            LoseEntry(_) => me.write(Delivery::Failed),
            OffsetsGo(_, request) if is_free => me.offsets(request),
            EndGoes(_, request) if is_free || matches!(request, Request::AnswerLost | Request::MarkersLate) => {
                me.end(request)
            }
            // What is frozen for a shorter time is merely slow.
            Freeze(_) if me.world.is_member(id) => {
                me.world.instances[id].run = Run::Frozen;
                me.world.expire(id);
                DONE
            }
            _ => None,
        }
    }

    /// What the group and the broker do, and faults.
    fn befall(world: &mut World, action: Action) -> Done {
        let run = |world: &World, id: usize| world.instances[id].run;
        match action {
            Arrive if world.late != Late::Nothing => return Some(world.deliver()),
            Mark(id, shard) => return world.mark(id, shard).then_some(Ok(())),
            Materialise(id) => return world.materialise(id).then_some(Ok(())),
            Expire(id) if run(world, id) == Run::Down && world.is_member(id) => world.expire(id),
            Thaw(id) if run(world, id) == Run::Frozen => world.instances[id].run = Run::Up,
            Restart(id) if run(world, id) == Run::Down && world.can_write(id) => world.restart(id),
            Kill(id) if run(world, id) != Run::Down => world.instances[id] = Instance::down(),
            TimeOut(id) if world.txns[id].state == TxnState::Ongoing => world.fence(id),
            AskFor(id, shard) => return Self::ask_for(world, id, shard),
            _ => return None,
        }
        DONE
    }

    fn ask_for(world: &mut World, to: usize, shard: usize) -> Done {
        let owner = world.group.owner[shard];
        if !world.is_member(to) || owner == Some(small(to)) || owner.is_none() || world.group.moving_to[shard].is_some()
        {
            return None;
        }
        world.ask_for(shard, to);
        DONE
    }
}
