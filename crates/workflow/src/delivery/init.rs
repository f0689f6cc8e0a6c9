//! `pilotage init`: a first `pilotage.yml` for what is seen in a project.

/// What one kind of project is told by, and how it is started.
struct Recipe {
    /// Any of these files.
    seen: &'static [&'static str],
    prepare: Option<&'static str>,
    run: &'static str,
    note: &'static str,
}

/// The first that fits is taken.
const RECIPES: &[Recipe] = &[
    Recipe {
        seen: &["manage.py"],
        prepare: Some("python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"),
        run: ".venv/bin/python manage.py runserver 127.0.0.1:$PORT",
        note: "Django's own server; use gunicorn or uvicorn for real traffic",
    },
    Recipe {
        seen: &["requirements.txt", "pyproject.toml"],
        prepare: Some("python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"),
        run: ".venv/bin/python app.py",
        note: "reads PORT",
    },
    Recipe {
        seen: &["app.py"],
        prepare: None,
        run: "python3 app.py",
        note: "reads PORT",
    },
    Recipe {
        seen: &["main.py"],
        prepare: None,
        run: "python3 main.py",
        note: "reads PORT",
    },
    Recipe {
        seen: &["server.py"],
        prepare: None,
        run: "python3 server.py",
        note: "reads PORT",
    },
    Recipe {
        seen: &["package-lock.json"],
        prepare: Some("npm ci"),
        run: "npm start",
        note: "reads PORT",
    },
    Recipe {
        seen: &["package.json"],
        prepare: Some("npm install"),
        run: "npm start",
        note: "reads PORT",
    },
    Recipe {
        seen: &["server.mjs"],
        prepare: None,
        run: "node server.mjs",
        note: "reads PORT",
    },
    Recipe {
        seen: &["server.js"],
        prepare: None,
        run: "node server.js",
        note: "reads PORT",
    },
    Recipe {
        seen: &["index.html"],
        prepare: None,
        run: "python3 -m http.server $PORT --bind 127.0.0.1",
        note: "serves the files of the project",
    },
];
const UNKNOWN: Recipe = Recipe {
    seen: &[],
    prepare: None,
    run: "./start",
    note: "the program that serves; it reads PORT",
};

/// A starting `pilotage.yml` for a project whose root holds these files. It parses without a fault.
#[must_use]
pub fn init(files: &[&str]) -> String {
    let fits = |recipe: &&Recipe| recipe.seen.iter().any(|name| files.contains(name));
    let recipe = RECIPES.iter().find(fits).unwrap_or(&UNKNOWN);
    let python_without_list = recipe.seen.contains(&"pyproject.toml") && !files.contains(&"requirements.txt");
    let prepare = match recipe.prepare {
        Some(_) if python_without_list => {
            "    prepare: python3 -m venv .venv && .venv/bin/pip install .\n".to_owned()
        }
        Some(command) => format!("    prepare: {command}\n"),
        None => String::new(),
    };
    format!(
        "services:
  web:
{prepare}    run: {}    # {}
environments:
  staging:
    url: http://localhost:8081
  production:
    url: http://localhost:8080
    replicas: 2
    strategy: canary        # 5 %, 25 %, 50 %, then all; health, guard and rollback are on
",
        recipe.run, recipe.note
    )
}
