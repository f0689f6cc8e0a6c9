//! From a matrix to its legs, in GitHub's order (`MatrixBuilder.cs` of actions/runner).

use crate::expr::{Object, Value};

/// GitHub's limit for the jobs of one matrix.
pub const LEGS_MAX: usize = 256;

/// Combinations times filters.
const COMPARISONS_MAX: usize = 1_000_000;

/// One combination of a matrix.
#[derive(Clone, Debug)]
pub struct Leg {
    /// The `matrix` context of its job.
    pub values: Object,
    /// What is put behind the job's name, `(ubuntu, 20)`; empty where no value is a text, number or boolean.
    /// Values that `include` adds to a combination do not stand in it.
    pub name: String,
}

/// Expands an evaluated matrix: its lists' combinations, the last list turning fastest, without those that
/// `exclude` matches, with what `include` adds; then the legs that `include` makes on its own.
///
/// # Errors
/// In words for the user, where it is no matrix, a list is empty or a filter is wrong, or there are too many legs.
pub fn expand(matrix: &Value) -> Result<Vec<Leg>, String> {
    let Value::Object(matrix) = matrix else {
        return Err("the matrix is no map".to_owned());
    };
    let mut vectors: Vec<(&str, &[Value])> = Vec::new();
    let mut filters = Filters::default();
    for (name, value) in matrix.iter() {
        let Value::Array(items) = value else {
            return Err(format!("`{name}` of the matrix is no list"));
        };
        match name {
            "include" => filters.include = items,
            "exclude" => filters.exclude = items,
            _ if items.is_empty() => return Err(format!("the list `{name}` of the matrix is empty")),
            _ => vectors.push((name, items)),
        }
    }
    if vectors.is_empty() && filters.include.is_empty() {
        return Err("a matrix needs at least one list of values, or `include`".to_owned());
    }
    filters.check(&vectors)?;
    let product = vectors
        .iter()
        .try_fold(1usize, |n, (_, items)| n.checked_mul(items.len()));
    // Excluded combinations are built too, so the product is bounded more loosely than the legs; with the
    // filters it bounds the work.
    let filter_count = filters.include.len() + filters.exclude.len() + 1;
    let within = |n: &usize| n.saturating_mul(filter_count) <= COMPARISONS_MAX;
    let product = product.filter(within).ok_or_else(too_many)?;
    let product = if vectors.is_empty() { 0 } else { product };

    let mut legs = Vec::new();
    let mut matched = vec![false; filters.include.len()];
    for index in 0..product {
        let mut values = Object::new();
        let mut block = product;
        for (name, items) in &vectors {
            block /= items.len();
            if let Some(value) = items.get((index / block) % items.len()) {
                values.insert(*name, value.clone());
            }
        }
        if filters.exclude.iter().any(|f| matches(f, &values)) {
            continue;
        }
        let name = name_of(&values);
        filters.add_extra(&vectors, &mut values, &mut matched);
        legs.push(Leg { values, name });
        if legs.len() > LEGS_MAX {
            return Err(too_many());
        }
    }
    for (include, _) in filters.include.iter().zip(&matched).filter(|(_, m)| !**m) {
        if let Value::Object(entries) = include {
            let values = in_vector_order(entries, &vectors);
            legs.push(Leg {
                name: name_of(&values),
                values,
            });
        }
    }
    if legs.len() > LEGS_MAX {
        Err(too_many())
    } else {
        Ok(legs)
    }
}

fn too_many() -> String {
    format!("the matrix gives more than {LEGS_MAX} jobs")
}

#[derive(Default)]
struct Filters<'a> {
    include: &'a [Value],
    exclude: &'a [Value],
}

impl Filters<'_> {
    fn check(&self, vectors: &[(&str, &[Value])]) -> Result<(), String> {
        for (key, items) in [("include", self.include), ("exclude", self.exclude)] {
            for item in items {
                match item {
                    Value::Object(entries) if entries.is_empty() => {
                        return Err(format!("an empty map in `{key}` matches nothing"));
                    }
                    Value::Object(_) => {}
                    _ => return Err(format!("`{key}` of the matrix is no list of maps")),
                }
            }
        }
        for item in self.exclude {
            let Value::Object(entries) = item else { continue };
            if let Some((name, _)) = entries.iter().find(|(n, _)| !is_vector(vectors, n)) {
                return Err(format!(
                    "`exclude` names `{name}`, which is no list of the matrix"
                ));
            }
        }
        Ok(())
    }

    /// An include fits a combination when all of its keys that are lists of the matrix have the same values;
    /// its other keys are added then, over those that an earlier include added.
    fn add_extra(&self, vectors: &[(&str, &[Value])], values: &mut Object, matched: &mut [bool]) {
        let original = values.clone();
        for (include, matched) in self.include.iter().zip(matched) {
            let Value::Object(entries) = include else { continue };
            let mut filter = Object::new();
            for (name, value) in entries.iter().filter(|(n, _)| is_vector(vectors, n)) {
                filter.insert(name, value.clone());
            }
            if !matches(&filter.into(), &original) {
                continue;
            }
            *matched = true;
            for (name, value) in entries.iter().filter(|(n, _)| !is_vector(vectors, n)) {
                values.insert(name, value.clone());
            }
        }
    }
}

fn is_vector(vectors: &[(&str, &[Value])], name: &str) -> bool {
    vectors.iter().any(|(v, _)| v.eq_ignore_ascii_case(name))
}

/// A leg of `include` alone has the keys that filter before those that add, each in its own order.
fn in_vector_order(entries: &Object, vectors: &[(&str, &[Value])]) -> Object {
    let mut values = Object::new();
    for (name, value) in entries.iter().filter(|(n, _)| is_vector(vectors, n)) {
        values.insert(name, value.clone());
    }
    for (name, value) in entries.iter().filter(|(n, _)| !is_vector(vectors, n)) {
        values.insert(name, value.clone());
    }
    values
}

/// Whether each leaf of the filter equals (`==`) what stands at its path.
fn matches(filter: &Value, values: &Object) -> bool {
    match filter {
        Value::Object(entries) => entries
            .iter()
            .all(|(n, f)| leaf_matches(f, values.get(n).unwrap_or(&Value::Null))),
        _ => false,
    }
}

fn leaf_matches(filter: &Value, value: &Value) -> bool {
    match filter {
        Value::Object(entries) => entries.iter().all(|(name, f)| match value {
            Value::Object(object) => leaf_matches(f, object.get(name).unwrap_or(&Value::Null)),
            _ => leaf_matches(f, &Value::Null),
        }),
        Value::Array(items) => items.iter().enumerate().all(|(i, f)| match value {
            Value::Array(values) => leaf_matches(f, values.get(i).unwrap_or(&Value::Null)),
            _ => leaf_matches(f, &Value::Null),
        }),
        _ => loosely_equal(filter, value),
    }
}

/// `==` between scalars: texts without regard to case, mixed types as numbers.
fn loosely_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.to_uppercase() == b.to_uppercase(),
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => false,
        (a, b) => number(a) == number(b),
    }
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Null => 0.0,
        Value::Bool(b) => f64::from(u8::from(*b)),
        Value::Number(n) => *n,
        Value::String(text) if text.trim().is_empty() => 0.0,
        Value::String(text) => text.trim().parse().unwrap_or(f64::NAN),
        Value::Array(_) | Value::Object(_) => f64::NAN,
    }
}

/// The leaves that are texts, numbers or booleans, in order.
fn name_of(values: &Object) -> String {
    fn leaves(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Null => {}
            Value::Array(items) => items.iter().for_each(|v| leaves(v, out)),
            Value::Object(object) => object.iter().for_each(|(_, v)| leaves(v, out)),
            scalar => out.push(scalar.to_text()),
        }
    }
    let mut parts = Vec::new();
    values.iter().for_each(|(_, v)| leaves(v, &mut parts));
    parts.retain(|p| !p.is_empty());
    if parts.is_empty() {
        String::new()
    } else {
        format!("({})", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: &[&str]) {
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        let got = match expand(&Value::from(&value)) {
            Ok(legs) => legs
                .iter()
                .map(|l| {
                    format!(
                        "{} {}",
                        l.name,
                        serde_json::Value::from(&Value::from(l.values.clone()))
                    )
                })
                .collect(),
            Err(message) => vec![message],
        };
        assert_eq!(got, expected, "{json}");
    }

    #[test]
    fn the_last_list_turns_fastest() {
        check(
            r#"{"os": ["linux", "mac"], "n": [1, 2.5]}"#,
            &[
                r#"(linux, 1) {"os":"linux","n":1}"#,
                r#"(linux, 2.5) {"os":"linux","n":2.5}"#,
                r#"(mac, 1) {"os":"mac","n":1}"#,
                r#"(mac, 2.5) {"os":"mac","n":2.5}"#,
            ],
        );
    }

    #[test]
    fn include_adds_to_what_it_fits_and_makes_the_rest() {
        check(
            r#"{"a": ["x", "y"], "include": [{"extra": 1}, {"a": "X", "more": true}, {"a": "x", "extra": 2}, {"a": "z", "extra": 3}]}"#,
            &[
                r#"(x) {"a":"x","extra":2,"more":true}"#,
                r#"(y) {"a":"y","extra":1}"#,
                r#"(z, 3) {"a":"z","extra":3}"#,
            ],
        );
        check(
            r#"{"include": [{"b": 1, "c": [2, {"d": null}]}]}"#,
            &[r#"(1, 2) {"b":1,"c":[2,{"d":null}]}"#],
        );
    }

    #[test]
    fn exclude_takes_partial_matches_away() {
        check(
            r#"{"a": [{"v": 1, "w": 2}, {"v": 3}], "b": [true, false], "exclude": [{"a": {"v": 3}}, {"b": false}]}"#,
            &[r#"(1, 2, true) {"a":{"v":1,"w":2},"b":true}"#],
        );
        check(r#"{"a": [1], "exclude": [{"a": 1}]}"#, &[]);
    }

    #[test]
    fn what_is_no_matrix_is_refused() {
        check(r#"{"a": []}"#, &["the list `a` of the matrix is empty"]);
        check(r#"{"a": 1}"#, &["`a` of the matrix is no list"]);
        check("[]", &["the matrix is no map"]);
        check(
            "{}",
            &["a matrix needs at least one list of values, or `include`"],
        );
        check(
            r#"{"a": [1], "exclude": [{"b": 1}]}"#,
            &["`exclude` names `b`, which is no list of the matrix"],
        );
        check(
            r#"{"a": [1], "include": [{}]}"#,
            &["an empty map in `include` matches nothing"],
        );
        let many: Vec<u32> = (0..17).collect();
        let json = serde_json::json!({ "a": many, "b": many }).to_string();
        check(&json, &["the matrix gives more than 256 jobs"]);
        let huge: Vec<u32> = (0..2000).collect();
        let json = serde_json::json!({ "a": huge, "b": huge, "c": huge, "d": huge }).to_string();
        check(&json, &["the matrix gives more than 256 jobs"]);
    }
}
