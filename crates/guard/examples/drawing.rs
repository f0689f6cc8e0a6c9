//! Prints the drawing of `docs/guard.md`: how the evidence against a good and a bad release grows with its answers.
//! `cargo run -p pilotage-guard --example drawing > docs/images/guard.svg`
use pilotage_guard::simulate::Random;
use pilotage_guard::{Answer, Arm, Guard, Policy};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
const BOTTOM: f64 = 40.0;
const TOP: f64 = 16.0;
const ANSWERS: u32 = 120;
const MOST: f64 = 1_000.0;

/// The evidence after each answer of a release at a tenth of the traffic, until it goes back; and its bar.
fn evidence(errors: f64, seed: u64) -> (Vec<f64>, f64) {
    let (mut guard, mut random) = (Guard::new(Policy::default()), Random::new(seed));
    guard.set_share(1_000);
    let (mut points, mut bar, mut at_us) = (vec![1.0], 400.0, 0);
    for _ in 0..ANSWERS {
        for turn in 0..10 {
            at_us += 10_000;
            let (arm, rate) = if turn == 9 {
                (Arm::New, errors)
            } else {
                (Arm::Old, 0.01)
            };
            let error = random.uniform() < rate;
            guard.observe(
                arm,
                Answer {
                    at_us,
                    error,
                    latency_us: 20_000,
                },
            );
        }
        let found = guard.evidence();
        points.push(found.one_in.clamp(1.0, MOST));
        if guard.verdict().is_some() {
            bar = found.goes_back_at;
            break;
        }
    }
    (points, bar)
}

fn x(answer: usize) -> f64 {
    let answer = u32::try_from(answer).unwrap_or(ANSWERS);
    LEFT + (WIDTH - LEFT - RIGHT) * f64::from(answer) / f64::from(ANSWERS)
}

fn y(one_in: f64) -> f64 {
    HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * one_in.log10() / MOST.log10()
}

fn line(points: &[f64], colour: &str) -> String {
    let places: Vec<String> = points
        .iter()
        .enumerate()
        .map(|(n, p)| format!("{:.1},{:.1}", x(n), y(*p)))
        .collect();
    format!(
        "<polyline points='{}' fill='none' stroke='{colour}' stroke-width='2'/>",
        places.join(" ")
    )
}

#[expect(clippy::print_stdout, reason = "an example prints")]
fn main() {
    let (bad, bar) = evidence(0.2, 5);
    let (good, _) = evidence(0.01, 5);
    println!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' font-family='sans-serif' font-size='12' fill='#808890'>"
    );
    println!("<title>Evidence against a bad and a good release, answer by answer</title>");
    for (label, one_in) in [("none", 1.0), ("1 in 10", 10.0), ("1 in 100", 100.0)] {
        let (right, at) = (WIDTH - RIGHT, y(one_in));
        println!("<path d='M{LEFT} {at:.1}H{right}' stroke='#80889040'/>");
        println!(
            "<text x='{}' y='{:.1}' text-anchor='end'>{label}</text>",
            LEFT - 8.0,
            at + 4.0
        );
    }
    let at = y(bar);
    println!(
        "<path d='M{LEFT} {at:.1}H{}' stroke='#d97706' stroke-width='2' stroke-dasharray='6 4'/>",
        WIDTH - RIGHT
    );
    println!(
        "<text x='{}' y='{:.1}' text-anchor='end'>1 in {bar:.0}</text>",
        LEFT - 8.0,
        at + 4.0
    );
    println!(
        "<text x='{}' y='{:.1}' text-anchor='end'>here it goes back</text>",
        WIDTH - RIGHT,
        at - 6.0
    );
    println!("{}\n{}", line(&good, "#2f855a"), line(&bad, "#c53030"));
    let last = bad.len() - 1;
    let crossed = bad.last().copied().unwrap_or(1.0);
    println!(
        "<circle cx='{:.1}' cy='{:.1}' r='4' fill='#c53030'/>",
        x(last),
        y(crossed)
    );
    println!(
        "<text x='{:.1}' y='{:.1}'>one answer in five fails: {last} answers</text>",
        x(last) + 10.0,
        y(30.0)
    );
    println!(
        "<text x='{}' y='{:.1}' text-anchor='end'>one in a hundred, as before</text>",
        WIDTH - RIGHT,
        y(1.0) - 8.0
    );
    for answer in (0..=120).step_by(20) {
        println!(
            "<text x='{:.1}' y='{}' text-anchor='middle'>{answer}</text>",
            x(answer),
            HEIGHT - 22.0
        );
    }
    println!(
        "<text x='{:.1}' y='{}' text-anchor='middle'>answers of the new release</text>",
        x(60),
        HEIGHT - 6.0
    );
    println!("</svg>");
}
