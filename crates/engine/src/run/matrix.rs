//! The combinations of a matrix, and the names of jobs made from them.

use pilotage_workflow::expr::Value;
use serde_json::{Map, Value as Json};

/// GitHub's limit of jobs that one matrix may make.
pub(super) const LEGS_MAX: usize = 256;

/// GitHub cuts the names of jobs here.
const NAME_CHARS_MAX: usize = 100;

pub(super) type Combination = Map<String, Json>;

/// The combinations of an evaluated matrix, in GitHub's order: the first name turns slowest, what `include` adds
/// comes last.
pub(super) fn combinations(matrix: &Value) -> Result<Vec<Combination>, String> {
    let Json::Object(matrix) = Json::from(matrix) else {
        return Err("the matrix is not a map of lists".to_owned());
    };
    let vectors = vectors(&matrix)?;
    let mut combinations = product(&vectors)?;
    for exclude in entries(&matrix, "exclude")? {
        if let Some(name) = exclude
            .keys()
            .find(|name| !vectors.iter().any(|(n, _)| n == name))
        {
            return Err(format!(
                "`exclude` of the matrix names `{name}`, which is not in the matrix"
            ));
        }
        combinations.retain(|c| !exclude.iter().all(|(name, value)| c.get(name) == Some(value)));
    }
    let combinations = with_includes(combinations, &vectors, entries(&matrix, "include")?);
    match combinations.len() {
        0 => Err("the matrix has no combination".to_owned()),
        1..=LEGS_MAX => Ok(combinations),
        n => Err(format!("the matrix has {n} combinations, more than {LEGS_MAX}")),
    }
}

type Vectors<'a> = Vec<(&'a String, &'a Vec<Json>)>;

fn vectors(matrix: &Map<String, Json>) -> Result<Vectors<'_>, String> {
    let mut vectors = Vec::new();
    for (name, values) in matrix.iter().filter(|(name, _)| !is_rule(name)) {
        match values {
            Json::Array(values) if values.is_empty() => {
                return Err(format!("the list `{name}` of the matrix is empty"));
            }
            Json::Array(values) => vectors.push((name, values)),
            _ => return Err(format!("`{name}` of the matrix is not a list")),
        }
    }
    Ok(vectors)
}

fn is_rule(name: &str) -> bool {
    name.eq_ignore_ascii_case("include") || name.eq_ignore_ascii_case("exclude")
}

fn entries(matrix: &Map<String, Json>, rule: &str) -> Result<Vec<Combination>, String> {
    let found = matrix
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(rule))
        .map(|(_, value)| value);
    let items = match found {
        None | Some(Json::Null) => return Ok(Vec::new()),
        Some(Json::String(text)) if text.is_empty() => return Ok(Vec::new()),
        Some(Json::Array(items)) => items,
        Some(_) => return Err(format!("`{rule}` of the matrix is not a list")),
    };
    let entry = |item: &Json| match item {
        Json::Object(entry) => Ok(entry.clone()),
        _ => Err(format!("an entry of `{rule}` of the matrix is not a map")),
    };
    items.iter().map(entry).collect()
}

fn product(vectors: &Vectors<'_>) -> Result<Vec<Combination>, String> {
    if vectors.is_empty() {
        return Ok(Vec::new());
    }
    let mut combinations = vec![Combination::new()];
    for (name, values) in vectors {
        // `exclude` may bring the number down again, but not from arbitrarily far.
        if combinations.len() * values.len() > 16 * LEGS_MAX {
            return Err(format!("the matrix has more than {} combinations", 16 * LEGS_MAX));
        }
        let grown = combinations.iter().flat_map(|combination| {
            values.iter().map(move |value| {
                let mut combination = combination.clone();
                combination.insert((*name).clone(), value.clone());
                combination
            })
        });
        combinations = grown.collect();
    }
    Ok(combinations)
}

/// An `include` goes to each combination that it contradicts in no name of the matrix; one that fits none is a
/// combination of its own. It may replace what another `include` added, never what the matrix gave.
fn with_includes(
    mut combinations: Vec<Combination>,
    vectors: &Vectors<'_>,
    includes: Vec<Combination>,
) -> Vec<Combination> {
    let is_vector = |name: &str| vectors.iter().any(|(n, _)| *n == name);
    let originals = combinations.len();
    for include in includes {
        let mut fitted = false;
        for combination in &mut combinations[..originals] {
            if include
                .iter()
                .all(|(name, value)| !is_vector(name) || combination.get(name) == Some(value))
            {
                combination.extend(include.clone());
                fitted = true;
            }
        }
        if !fitted {
            combinations.push(include);
        }
    }
    combinations
}

/// `name (a, b)`: the values of a combination, with those inside lists and maps, as GitHub shows them.
pub(super) fn leg_name(name: &str, combination: &Combination) -> String {
    let mut values = Vec::new();
    combination.values().for_each(|value| leaves(value, &mut values));
    if values.is_empty() {
        return name.to_owned();
    }
    shortened(&format!("{name} ({})", values.join(", ")))
}

fn leaves(value: &Json, found: &mut Vec<String>) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| leaves(item, found)),
        Json::Object(map) => map.values().for_each(|item| leaves(item, found)),
        scalar => {
            let text = Value::from(scalar).to_text();
            if !text.is_empty() {
                found.push(text);
            }
        }
    }
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= NAME_CHARS_MAX {
        return name.to_owned();
    }
    let mut short: String = name.chars().take(NAME_CHARS_MAX - 3).collect();
    short.push_str("...");
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(matrix: Json, expected: &[&str]) {
        let names: Vec<String> = match combinations(&Value::from(&matrix)) {
            Ok(combinations) => combinations.iter().map(|c| leg_name("j", c)).collect(),
            Err(error) => vec![error],
        };
        assert_eq!(names, expected, "{matrix}");
    }

    #[test]
    fn combinations_come_in_order_with_their_names() {
        check(
            json!({"os": ["a", "b"], "v": [1, 2]}),
            &["j (a, 1)", "j (a, 2)", "j (b, 1)", "j (b, 2)"],
        );
        check(
            json!({"o": [{"n": "x", "k": [1, null]}, true]}),
            &["j (x, 1)", "j (true)"],
        );
    }

    #[test]
    fn exclude_matches_a_part_of_a_combination() {
        check(
            json!({"os": ["a", "b"], "v": [1, 2], "exclude": [{"os": "a"}, {"os": "b", "v": 1}]}),
            &["j (b, 2)"],
        );
        check(
            json!({"v": [1], "exclude": [{"v": 1}]}),
            &["the matrix has no combination"],
        );
        check(
            json!({"v": [1], "exclude": [{"w": 1}]}),
            &["`exclude` of the matrix names `w`, which is not in the matrix"],
        );
    }

    #[test]
    fn include_adds_to_those_it_fits_or_stands_alone() {
        let matrix = json!({
            "fruit": ["apple", "pear"], "animal": ["cat", "dog"],
            "include": [
                {"color": "green"}, {"color": "pink", "animal": "cat"}, {"fruit": "apple", "shape": "circle"},
                {"fruit": "banana"}, {"fruit": "banana", "animal": "cat"},
            ],
        });
        check(
            matrix,
            &[
                "j (apple, cat, pink, circle)",
                "j (apple, dog, green, circle)",
                "j (pear, cat, pink)",
                "j (pear, dog, green)",
                "j (banana)",
                "j (banana, cat)",
            ],
        );
        check(
            json!({"include": [{"a": 1}, {"a": 1, "b": 2}]}),
            &["j (1)", "j (1, 2)"],
        );
    }

    #[test]
    fn what_makes_no_job_is_refused() {
        check(json!({"v": []}), &["the list `v` of the matrix is empty"]);
        check(json!({"v": "x"}), &["`v` of the matrix is not a list"]);
        check(json!("x"), &["the matrix is not a map of lists"]);
        let many: Vec<u32> = (0..300).collect();
        check(
            json!({ "v": many }),
            &["the matrix has 300 combinations, more than 256"],
        );
        check(
            json!({ "v": many, "w": many }),
            &["the matrix has more than 4096 combinations"],
        );
    }
}
