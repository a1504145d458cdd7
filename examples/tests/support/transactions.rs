//! Transactions for the flagship.

/// One of a user's, as JSON.
pub fn transaction(number: usize, user: &str) -> String {
    format!(
        r#"{{"id":"t-{number}","user":"{user}","at":1772366400000,"amount":9.5,"currency":"EUR","merchant":"m","channel":"app","status":"approved"}}"#
    )
}
