//! The process ends, or stands still for too long, at each named place of a commit to Kafka and of taking a job over.

use std::time::{Duration, Instant};

use headwater::kafka::CRASH_POINTS;

use super::campaign::Campaign;

/// Within this the place is reached.
const REACHED: Duration = Duration::from_secs(40);

/// Has an instance stand still at each place until it has been missed and its transaction is aborted. The other one takes
/// over.
///
/// # Errors
/// A place that is not reached, or after which the job does not go on.
pub fn wait_everywhere(campaign: &mut Campaign) -> Result<(), String> {
    let missed = campaign.timeouts.session.max(campaign.timeouts.transaction) + Duration::from_secs(2);
    for point in CRASH_POINTS {
        let active = campaign.active();
        let next = 1 - active;
        campaign.instances[next].kill();
        let said = campaign.instances[next].said().len();
        campaign.instances[next].start_to_crash(&format!("{point}:1:{}", missed.as_millis()));
        // It takes over, and fences the one that is gone.
        campaign.wait(Duration::from_secs(2));
        campaign.instances[active].kill();
        let is_there =
            |campaign: &Campaign| campaign.instances[next].said()[said..].contains(&format!("waiting at {point}"));
        if !campaign.wait_for(REACHED, is_there) {
            return Err(format!("{point} was not reached within {REACHED:?}"));
        }
        campaign.instances[active].start();
        let waits = Instant::now();
        campaign.wait(missed);
        campaign.progress().map_err(|error| format!("wait at {point}: {error}"))?;
        println!("wait at {point}: on after {} ms", waits.elapsed().as_millis());
    }
    Ok(())
}

/// Ends the job at each place, at its first pass and, where a process passes it more than once, at a later one.
///
/// # Errors
/// A place that is not reached, or after which the job does not go on.
pub fn crash_everywhere(campaign: &mut Campaign) -> Result<(), String> {
    // Only one that takes over from another fences it.
    let gone = campaign.active();
    let alone = 1 - gone;
    campaign.instances[alone].kill();
    crash(campaign, alone, "kafka.fenced:1", Some(gone))?;
    // The other one would take over at the next crash.
    for point in CRASH_POINTS.into_iter().filter(|point| *point != "kafka.fenced") {
        // A process opens once where nothing fails.
        let passes: &[u32] = if ["kafka.replayed", "kafka.claimed"].contains(&point) { &[1] } else { &[1, 3] };
        for nth in passes {
            campaign.instances[alone].kill();
            crash(campaign, alone, &format!("{point}:{nth}"), None)?;
        }
    }
    campaign.instances[gone].start();
    Ok(())
}

/// Starts an instance that crashes at a place, after another one has `gone` where one has to.
fn crash(campaign: &mut Campaign, at: usize, place: &str, gone: Option<usize>) -> Result<(), String> {
    let before = campaign.ends.len();
    campaign.instances[at].start_to_crash(place);
    if let Some(gone) = gone {
        campaign.wait(Duration::from_secs(2));
        campaign.instances[gone].kill();
    }
    // It is started again as soon as it has ended.
    if !campaign.wait_for(REACHED, |campaign| campaign.ends.len() > before) {
        return Err(format!("{place} was not reached within {REACHED:?}"));
    }
    let crashed = Instant::now();
    if let Some(end) = campaign.ends[before..].iter().find(|end| !end.contains("ended, signal: 6")) {
        return Err(format!("{place}: no crash, but {end}"));
    }
    campaign.progress().map_err(|error| format!("{place}: {error}"))?;
    println!("crash at {place}: on after {} ms", crashed.elapsed().as_millis());
    Ok(())
}
