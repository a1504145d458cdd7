//! The process ends at each named place of a commit to Kafka and of taking a job over.

use std::time::Duration;

use headwater::state::KAFKA_CRASH_POINTS;

use super::campaign::Campaign;

/// Within this the place is reached.
const REACHED: Duration = Duration::from_secs(40);

/// Ends the active instance at each place, at its first pass and, where a process passes it more than once, at a later one.
///
/// # Errors
/// A place that is not reached, or after which the job does not go on.
pub fn crash_everywhere(campaign: &mut Campaign) -> Result<(), String> {
    for point in KAFKA_CRASH_POINTS {
        // A process opens once where nothing fails.
        let passes: &[u32] = match point {
            "kafka.fenced" | "kafka.replayed" | "kafka.claimed" => &[1],
            _ => &[1, 3],
        };
        for nth in passes {
            let at = format!("{point}:{nth}");
            let going_on = crash(campaign, point, &at).map_err(|error| format!("{at}: {error}"))?;
            println!("crash at {at}: on after {} ms", going_on.as_millis());
        }
    }
    Ok(())
}

/// Returns how long the job has taken to go on after the crash.
fn crash(campaign: &mut Campaign, point: &str, at: &str) -> Result<Duration, String> {
    let active = campaign.active();
    let before = campaign.ends.len();
    if point == "kafka.fenced" {
        // Only one that takes over from another fences it.
        let other = 1 - active;
        campaign.instances[other].kill();
        campaign.instances[other].start_to_crash(at);
        campaign.wait(Duration::from_secs(2));
        campaign.instances[active].kill();
    } else {
        campaign.instances[active].kill();
        campaign.instances[active].start_to_crash(at);
    }
    // It is started again as soon as it has ended.
    if !campaign.wait_for(REACHED, |campaign| campaign.ends.len() > before) {
        return Err(format!("not reached within {REACHED:?}"));
    }
    let crashed = std::time::Instant::now();
    if let Some(end) = campaign.ends[before..].iter().find(|end| !end.contains("ended with None")) {
        return Err(format!("it did not crash: {end}"));
    }
    campaign.progress()?;
    let time = crashed.elapsed();
    if point == "kafka.fenced" {
        campaign.instances[active].start();
    }
    Ok(time)
}
