//! What one evaluation of a usual condition costs: at most 500 ns.

use criterion::{Criterion, criterion_group, criterion_main};
use pilotage_workflow::expr::{Expr, Object, Scope, Value};
use pilotage_workflow::source::Span;
use std::hint::black_box;

struct World {
    github: Value,
}

impl Scope for World {
    fn context(&self, name: &str) -> Option<Value> {
        (name == "github").then(|| self.github.clone())
    }

    fn function(&self, name: &str, _: &[Value]) -> Option<Result<Value, String>> {
        (name == "success").then_some(Ok(Value::Bool(true)))
    }
}

fn condition(criterion: &mut Criterion) {
    let mut github = Object::new();
    for i in 0..40 {
        github.insert(format!("property_{i}"), Value::from("value"));
    }
    github.insert("ref", Value::from("refs/heads/main"));
    let world = World {
        github: github.into(),
    };
    let text = "github.ref == 'refs/heads/main' && success()";
    let Ok(expr) = Expr::parse(text, Span::new(0, text.len())) else {
        return;
    };
    criterion.bench_function("evaluate", |bencher| {
        bencher.iter(|| black_box(&expr).evaluate(&world));
    });
    criterion.bench_function("parse", |bencher| {
        bencher.iter(|| Expr::parse(black_box(text), Span::new(0, text.len())));
    });
}

criterion_group!(benches, condition);
criterion_main!(benches);
