//! The page of `/metrics`. Its figures are taken while it is written; nothing is counted for it record by record.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use headwater_operators::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::answer::Subject;
use crate::clock;
use crate::progress::{Committed, Phase, Times, Work};
use crate::source::Measure;

/// What the page is written from.
pub(super) fn registry(subject: &Arc<Subject>) -> Registry {
    let job = [("job".into(), subject.job.clone().into())].into_iter();
    let mut registry = Registry::with_prefix_and_labels("headwater", job);
    registry.register_collector(Box::new(Arc::clone(subject)));
    registry
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("job", &self.job).finish_non_exhaustive()
    }
}

impl Collector for Subject {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let progress = self.progress();
        let watched = self.watched();
        let mut page = Page(encoder);
        let committed = progress.committed();
        page.counts(progress.work(), &watched.sinks)?;
        page.epoch(&committed)?;
        page.gauge(
            "write_behind_bytes",
            "Bytes that are committed and not yet in the tables",
            progress.behind_bytes(),
        )?;
        page.phase(&progress.phase(), progress.restored())?;
        let mut measures = BTreeMap::<_, Vec<_>>::new();
        for (topic, take) in &watched.measures {
            for measure in take() {
                measures.entry(measure.name).or_default().push((topic.as_str(), measure));
            }
        }
        measures.into_values().try_for_each(|same| page.measures(&same))
    }
}

type Labels<'a> = Vec<(&'a str, &'a str)>;

struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    /// What was done since the process started.
    fn counts(&mut self, mut work: Work, sinks: &[String]) -> fmt::Result {
        let read = work.records_in.iter().map(|(name, read)| {
            let (topic, partition) = name.rsplit_once('/').unwrap_or((name, ""));
            (vec![("topic", topic), ("partition", partition)], *read)
        });
        self.counters("records_read", "Records read from a source topic", read)?;
        for topic in sinks {
            work.records_out.entry(topic.clone()).or_default();
        }
        let written = work.records_out.iter().map(|(topic, written)| (vec![("topic", topic.as_str())], *written));
        self.counters("records_written", "Records written to a sink topic", written)?;
        self.counter("late_records", "Records that came after their windows had closed", work.late)?;
        self.counter("bad_records", "Records that could not be decoded, dead letters among them", work.bad)?;
        self.counter("commits", "Commits", work.commits)?;
        self.times("commit_seconds", "How long commits took", &work.commit_times)?;
        self.counter("changed_bytes", "Bytes of changed state that were committed", work.changed_bytes)?;
        self.counter("changed_rows", "Changed values of tables that were committed", work.changed_rows)?;
        self.counter("restarts", "Goings back to the last commit", work.restarts)
    }

    /// What the last commit left.
    fn epoch(&mut self, last: &Committed) -> fmt::Result {
        self.gauge("epoch", "Number of the last epoch that was committed", last.epoch)?;
        self.gauge("last_commit_seconds", "How long the last commit took", last.commit_time.as_secs_f64())?;
        self.gauge("epoch_changed_bytes", "Bytes of state that the last epoch changed", last.changed_bytes)?;
        self.gauge("epoch_changed_rows", "Values of tables that the last epoch changed", last.changed_rows)?;
        let help = "Dead letters that were neither redriven nor dropped";
        self.gauge("dead_letters", help, last.dead_letters)?;
        let since =
            last.dead_letters_since.map_or(0, |since| clock::wall().as_micros().saturating_sub(since.as_micros()));
        let help = "How long the oldest dead letter has waited that was neither redriven nor dropped";
        self.gauge("dead_letters_waiting_seconds", help, since as f64 / 1e6)?;
        self.gauge("open_windows", "Windows that are open, over all operators", last.open_windows)?;
        self.gauge("state_memory_bytes", "State in memory", last.state_bytes)?;
        // At either end of time it says nothing: before the first record, and behind the last.
        let known = last.watermark.filter(|at| ![Timestamp::MIN, Timestamp::MAX].contains(at));
        let behind = known.map(|at| clock::wall().as_micros().saturating_sub(at.as_micros()) as f64 / 1e6);
        let help = "How far the slowest watermark is behind the wall clock";
        behind.map_or(Ok(()), |behind| self.gauge("watermark_delay_seconds", help, behind))
    }

    /// What the run is at.
    fn phase(&mut self, now: &Phase, (done, expected): (u64, u64)) -> fmt::Result {
        let phases = Phase::NAMES.iter().map(|name| (vec![("phase", *name)], u64::from(*name == now.name())));
        self.gauges("phase", "What the run is at: 1 at this phase, 0 at others", phases)?;
        self.gauge("restore_done_records", "Records of state that were read back", done)?;
        self.gauge("restore_expected_records", "Records of state that there were to read back", expected)
    }

    /// Those of one name.
    fn measures(&mut self, same: &[(&str, Measure)]) -> fmt::Result {
        let Some((_, Measure { name, help, grows, .. })) = same.first() else { return Ok(()) };
        let rows = same.iter().filter(|(_, measure)| measure.value.is_finite()).map(|(topic, measure)| {
            let labels = measure.labels.iter().map(|(name, value)| (*name, value.as_str()));
            ([("topic", *topic)].into_iter().chain(labels).collect(), measure.value)
        });
        if *grows { self.counters(name, help, rows) } else { self.gauges(name, help, rows) }
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    fn counters<'a, V>(&mut self, name: &str, help: &str, rows: impl Iterator<Item = (Labels<'a>, V)>) -> fmt::Result
    where
        V: EncodeCounterValue,
    {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        labelled(&mut encoder, rows, |value, encoder| ConstCounter::new(value).encode(encoder))
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    fn gauges<'a, V>(&mut self, name: &str, help: &str, rows: impl Iterator<Item = (Labels<'a>, V)>) -> fmt::Result
    where
        V: EncodeGaugeValue,
    {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        labelled(&mut encoder, rows, |value, encoder| ConstGauge::new(value).encode(encoder))
    }

    fn times(&mut self, name: &str, help: &str, times: &Times) -> fmt::Result {
        let bounds = Times::BOUNDS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(times.counts).collect();
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        encoder.encode_histogram::<NoLabelSet>(times.sum.as_secs_f64(), times.count(), &buckets, None)
    }
}

fn labelled<'a, V>(
    encoder: &mut MetricEncoder<'_>,
    rows: impl Iterator<Item = (Labels<'a>, V)>,
    encode: impl Fn(V, MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    for (labels, value) in rows {
        encode(value, encoder.encode_family(&labels)?)?;
    }
    Ok(())
}
