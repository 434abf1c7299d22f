//! Metrics as `/metrics` has them (text of our own making), as OTLP's messages.

use std::time::SystemTime;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum, metric,
    number_data_point,
};

use super::spans::{nanos, text};

/// One line: its name, its labels but for the bound of a bucket, that bound, its value.
struct Sample<'t> {
    name: &'t str,
    labels: Vec<(String, String)>,
    bound: Option<f64>,
    value: f64,
}

/// Every metric of the text. `begun`: when counting began.
pub(super) fn read(text: &str, begun: SystemTime) -> Vec<Metric> {
    let times = (nanos(begun), nanos(SystemTime::now()));
    let mut metrics: Vec<Metric> = Vec::new();
    let mut help = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let temporality = AggregationTemporality::Cumulative.into();
            let data = match kind {
                "counter" => metric::Data::Sum(Sum {
                    aggregation_temporality: temporality,
                    is_monotonic: true,
                    ..Sum::default()
                }),
                "histogram" => {
                    metric::Data::Histogram(Histogram { aggregation_temporality: temporality, ..Histogram::default() })
                }
                _ => metric::Data::Gauge(Gauge::default()),
            };
            let unit = if name.ends_with("_seconds") { "s" } else { "" };
            let description = help.trim_end_matches('.').to_owned();
            let (name, unit) = (name.to_owned(), unit.to_owned());
            metrics.push(Metric { name, description, unit, data: Some(data), ..Metric::default() });
        } else if let (Some(metric), Some(sample)) = (metrics.last_mut(), sample(line)) {
            add(metric, &sample, times);
        }
    }
    metrics
}

fn add(metric: &mut Metric, sample: &Sample<'_>, (begun, now): (u64, u64)) {
    let attributes: Vec<KeyValue> = sample.labels.iter().map(|(name, value)| text(name, value)).collect();
    let point = |attributes| NumberDataPoint {
        attributes,
        start_time_unix_nano: begun,
        time_unix_nano: now,
        value: Some(number_data_point::Value::AsDouble(sample.value)),
        ..NumberDataPoint::default()
    };
    match &mut metric.data {
        Some(metric::Data::Sum(sum)) => sum.data_points.push(point(attributes)),
        Some(metric::Data::Gauge(gauge)) => gauge.data_points.push(point(attributes)),
        Some(metric::Data::Histogram(histogram)) => {
            let points = &mut histogram.data_points;
            if points.last().is_none_or(|point| point.attributes != attributes) {
                points.push(HistogramDataPoint {
                    attributes,
                    start_time_unix_nano: begun,
                    time_unix_nano: now,
                    ..HistogramDataPoint::default()
                });
            }
            let Some(point) = points.last_mut() else { return };
            if sample.name.ends_with("_sum") {
                point.sum = Some(sample.value);
            } else if sample.name.ends_with("_count") {
                point.count = whole(sample.value);
            } else if let Some(bound) = sample.bound {
                // Buckets come in order, each with all those before it.
                let below: u64 = point.bucket_counts.iter().sum();
                point.bucket_counts.push(whole(sample.value).saturating_sub(below));
                if bound.is_finite() {
                    point.explicit_bounds.push(bound);
                }
            }
        }
        _ => {}
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
fn whole(value: f64) -> u64 {
    value.max(0.0) as u64
}

/// `name{label="value",le="0.1"} 1 # exemplar`
fn sample(line: &str) -> Option<Sample<'_>> {
    if line.starts_with('#') {
        return None;
    }
    let (name, rest) = line.split_at_checked(line.find(['{', ' '])?)?;
    let (mut labels, mut bound) = (Vec::new(), None);
    let mut rest = rest;
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            if let Some(after) = inside.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = inside.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            match label {
                "le" => bound = Some(value.parse().unwrap_or(f64::INFINITY)),
                _ => labels.push((label.to_owned(), value)),
            }
            inside = after.strip_prefix(',').unwrap_or(after);
        }
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name, labels, bound, value })
}

/// A value up to its closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut signs = text.char_indices();
    while let Some((at, sign)) = signs.next() {
        match sign {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match signs.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_read_whole() {
        let text = "# HELP a_b Told.\n# TYPE a_b counter\na_b_total{x=\"1,\\\"}\\n\",y=\"\"} 7\n# HELP h_seconds H.\n\
                    # TYPE h_seconds histogram\nh_seconds_sum{s=\"o\"} 0.5\nh_seconds_count{s=\"o\"} 3\n\
                    h_seconds_bucket{le=\"0.1\",s=\"o\"} 1\nh_seconds_bucket{le=\"+Inf\",s=\"o\"} 3 # {trace_id=\"a\"} 1\n\
                    # TYPE g gauge\ng -2\n# EOF\n";
        let metrics = read(text, SystemTime::UNIX_EPOCH);
        assert_eq!(metrics.len(), 3);
        let Some(metric::Data::Sum(sum)) = &metrics[0].data else { panic!("{metrics:?}") };
        assert_eq!((sum.data_points[0].attributes.len(), metrics[0].description.as_str()), (2, "Told"));
        assert_eq!(sum.data_points[0].attributes[0], super::text("x", "1,\"}\n"));
        let Some(metric::Data::Histogram(histogram)) = &metrics[1].data else { panic!("{metrics:?}") };
        let [point] = histogram.data_points.as_slice() else { panic!("{histogram:?}") };
        assert_eq!((point.count, point.sum, metrics[1].unit.as_str()), (3, Some(0.5), "s"));
        assert_eq!((point.bucket_counts.as_slice(), point.explicit_bounds.as_slice()), (&[1, 2][..], &[0.1][..]));
        let Some(metric::Data::Gauge(gauge)) = &metrics[2].data else { panic!("{metrics:?}") };
        assert_eq!(gauge.data_points[0].value, Some(number_data_point::Value::AsDouble(-2.0)));
    }
}
