//! Signing in and out, and what a page does for somebody whose session is over.

use crate::site::site;

#[test]
fn a_person_signs_in_by_a_token_and_out_again() {
    let page = site().stranger();
    page.goto(&site().at("/me"));
    assert!(page.path().starts_with("/login?to="), "{}", page.path());
    page.fill("#token", "wrong");
    page.follow("Sign in");
    assert!(
        page.text("[role=alert]").contains("not known"),
        "{}",
        page.text("main")
    );
    // The refusal is answered 401, which a browser's console tells.
    assert!(page.console().iter().all(|fault| fault.contains("401")));
    page.fill("#token", &site().world.token());
    page.follow("Sign in");
    assert_eq!(page.path(), "/me", "one comes to where one wanted to go");
    page.follow("Sign out");
    assert_eq!(page.path(), "/login");
    page.goto(&site().at("/"));
    assert!(page.path().starts_with("/login"), "signed out is signed out");
    page.assert_quiet();
}

#[test]
fn a_session_that_is_gone_leads_back_to_where_one_was() {
    let page = site().admin();
    page.goto(&site().at("/me?from=here"));
    let where_one_was = page.path();
    page.forget_cookies();
    page.reload();
    assert!(page.path().starts_with("/login?to="), "{}", page.path());
    page.fill("#token", &site().world.token());
    page.follow("Sign in");
    assert_eq!(page.path(), where_one_was);
}

#[test]
fn no_login_leads_to_another_server() {
    let page = site().stranger();
    for to in [
        "//evil.example",
        "/\\evil.example",
        "/%09/evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "\\\\evil.example",
        "/\t/evil.example",
        "///evil.example",
    ] {
        let encoded: String = to.bytes().map(|byte| format!("%{byte:02X}")).collect();
        page.goto(&site().at(&format!("/login?to={encoded}")));
        page.fill("#token", &site().world.token());
        page.follow("Sign in");
        let url: String = page.eval("location.href");
        assert!(url.starts_with(&format!("{}/", site().world.url)), "{to}: {url}");
        page.forget_cookies();
        page.console();
    }
}

/// A form that another session's page sent, or none, changes nothing.
#[test]
fn a_form_counts_only_with_the_word_of_its_session() {
    let page = site().admin();
    page.goto(&site().at("/me"));
    page.eval::<()>(
        "document.querySelectorAll('form[action=\"/logout\"] [name=csrf]').forEach((f) => (f.value = 'f00'))",
    );
    page.follow("Sign out");
    assert!(page.console().iter().any(|fault| fault.contains("403")));
    page.goto(&site().at("/me"));
    assert_eq!(page.path(), "/me", "still signed in");
}
