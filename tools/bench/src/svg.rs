//! A picture of some curves over N, as SVG: N on a logarithmic axis, values from zero up, medians of all rounds.

use std::fmt::Write;

use crate::book::{Curves, median};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
/// Room on the left, right, top and bottom, for words.
const MARGINS: [f64; 4] = [70.0, 20.0, 40.0, 70.0];
/// Told apart by people who see no red and green, too (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9"];
const TICKS: u32 = 5;

/// Draws it.
pub fn draw(title: &str, unit: &str, curves: &Curves) -> String {
    let points: Vec<(&String, Vec<(f64, f64)>)> = curves.iter().map(|(name, values)| (name, medians(values))).collect();
    let all = || points.iter().flat_map(|(_, points)| points.iter());
    let (low, high) = all().fold((f64::MAX, 1.0_f64), |(low, high), point| (low.min(point.0), high.max(point.0)));
    let top = round_up(all().map(|point| point.1).fold(0.0, f64::max));
    let [left, right, above, below] = MARGINS;
    let (low, high) = (low.max(1.0).log10(), high.log10());
    let x = |n: f64| left + (n.log10() - low) / (high - low).max(1e-9) * (WIDTH - left - right);
    let y = |value: f64| HEIGHT - below - value / top * (HEIGHT - above - below);

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\">\n<title>{title}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
         <text x=\"{left}\" y=\"22\" font-size=\"14\" font-weight=\"600\">{title}</text>\n"
    );
    for tick in 0..=TICKS {
        let value = top * f64::from(tick) / f64::from(TICKS);
        let at = y(value);
        let _ = writeln!(
            svg,
            "<line x1=\"{left}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - right,
            left - 6.0,
            at + 4.0,
            number(value)
        );
    }
    let mut ns: Vec<f64> = all().map(|point| point.0).collect();
    ns.sort_by(f64::total_cmp);
    ns.dedup();
    for n in ns {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            x(n),
            HEIGHT - below + 18.0,
            number(n)
        );
    }
    let _ =
        writeln!(svg, "<text x=\"{left}\" y=\"{:.1}\">{unit}, over the number of connections</text>", HEIGHT - 34.0);
    for (number, ((name, points), colour)) in points.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let path: Vec<String> = points.iter().map(|&(n, value)| format!("{:.1},{:.1}", x(n), y(value))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for point in &path {
            let (x, y) = point.split_once(',').unwrap_or_default();
            let _ = writeln!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"3\" fill=\"{colour}\"/>");
        }
        #[expect(clippy::cast_precision_loss, reason = "a few curves")]
        let at = left + number as f64 * (WIDTH - left - right) / points_len(curves);
        let _ = writeln!(
            svg,
            "<rect x=\"{at:.1}\" y=\"{:.1}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
            HEIGHT - 20.0,
            at + 15.0,
            HEIGHT - 11.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

#[expect(clippy::cast_precision_loss, reason = "a few curves")]
fn points_len(curves: &Curves) -> f64 {
    curves.len().max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "connections of one machine")]
fn medians(values: &std::collections::BTreeMap<u64, Vec<f64>>) -> Vec<(f64, f64)> {
    values.iter().filter_map(|(&n, values)| Some((n as f64, median(values)?))).collect()
}

/// The next of 1, 2 and 5, times a power of ten.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-3).log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|step| step * power).into_iter().find(|&step| step >= value).unwrap_or(value)
}

fn number(value: f64) -> String {
    match value {
        _ if value >= 10_000.0 => format!("{:.0}k", value / 1000.0),
        _ if value >= 10.0 || value.fract() == 0.0 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_each_curve_and_each_point() {
        let curve = |values: &[(u64, f64)]| values.iter().map(|&(n, value)| (n, vec![value])).collect();
        let curves =
            [("Teahouse", curve(&[(100, 1.0), (1000, 2.0)])), ("the floor", curve(&[(100, 0.5), (1000, 0.6)]))];
        let curves: Curves = curves.into_iter().map(|(name, curve)| (name.to_owned(), curve)).collect();
        let svg = draw("Cost", "µs", &curves);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert_eq!(svg.matches("<circle").count(), 4);
        assert!(svg.contains("points=\"70.0,165.0 620.0,40.0\""), "{svg}");
        assert_eq!([0.3, 1.0, 1.1, 7.0].map(round_up), [0.5, 1.0, 2.0, 10.0]);
    }
}
