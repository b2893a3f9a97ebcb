//! Which rule leads to which: the order in which they come, and the circles that there must not be.
//! Promises that rules which lead nowhere in a circle get an order in which each comes after all that lead to it.
//! Leaves what rules do to the caller.

use std::collections::{BTreeMap, BTreeSet};

/// One rule: from the table that sets it off to the table that it writes, if it writes one.
#[derive(Clone, Copy, Debug)]
pub struct Edge<'a> {
    /// New objects of this table set it off.
    pub on: &'a str,
    /// It writes objects of this table.
    pub into: Option<&'a str>,
}

/// The indices of the rules, each behind all whose table it reads.
///
/// # Errors
/// The tables of a circle, the first one again at the end.
pub fn sorted(edges: &[Edge<'_>]) -> Result<Vec<usize>, Vec<String>> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for edge in edges {
        next.entry(edge.on).or_default().extend(edge.into);
    }
    let mut depths: BTreeMap<&str, usize> = BTreeMap::new();
    for table in next.keys() {
        depth(table, &next, &mut depths, &mut Vec::new())?;
    }
    let mut order: Vec<usize> = (0..edges.len()).collect();
    // The longer the way from a table, the earlier its rules.
    order.sort_by_key(|index| std::cmp::Reverse(depths.get(edges[*index].on).copied().unwrap_or(0)));
    Ok(order)
}

/// The longest way from a table, in rules.
fn depth<'a>(
    table: &'a str,
    next: &BTreeMap<&'a str, BTreeSet<&'a str>>,
    depths: &mut BTreeMap<&'a str, usize>,
    path: &mut Vec<&'a str>,
) -> Result<usize, Vec<String>> {
    if let Some(begin) = path.iter().position(|earlier| *earlier == table) {
        return Err(path[begin..].iter().chain([&table]).map(|table| (*table).to_owned()).collect());
    }
    if let Some(known) = depths.get(table) {
        return Ok(*known);
    }
    path.push(table);
    let mut longest = 0;
    for after in next.get(table).into_iter().flatten() {
        longest = longest.max(depth(after, next, depths, path)? + 1);
    }
    path.pop();
    depths.insert(table, longest);
    Ok(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(edges: &[(&'static str, Option<&'static str>)]) -> Result<Vec<usize>, Vec<String>> {
        sorted(&edges.iter().map(|(on, into)| Edge { on, into: *into }).collect::<Vec<_>>())
    }

    #[test]
    fn a_rule_comes_after_those_that_lead_to_it_however_they_are_written() {
        let sorted = order(&[("c", None), ("b", Some("c")), ("a", Some("b")), ("a", Some("c"))]).unwrap();
        let place = |rule: usize| sorted.iter().position(|index| *index == rule).unwrap();
        assert!(place(2) < place(1) && place(1) < place(0) && place(3) < place(0), "{sorted:?}");
    }

    #[test]
    fn circles_of_any_length_are_named() {
        assert_eq!(order(&[("a", Some("a"))]).unwrap_err(), ["a", "a"]);
        assert_eq!(order(&[("x", Some("a")), ("a", Some("b")), ("b", Some("a"))]).unwrap_err(), ["a", "b", "a"]);
        let names: Vec<String> = (0..500).map(|number| format!("t{number:03}")).collect();
        let mut edges: Vec<Edge<'_>> =
            names.windows(2).map(|pair| Edge { on: &pair[0], into: Some(&pair[1]) }).collect();
        assert!(sorted(&edges).is_ok());
        edges.push(Edge { on: &names[499], into: Some(&names[0]) });
        assert_eq!(sorted(&edges).unwrap_err().len(), 501);
    }

    #[test]
    fn two_ways_to_one_table_are_no_circle() {
        assert!(order(&[("a", Some("b")), ("a", Some("c")), ("b", Some("d")), ("c", Some("d"))]).is_ok());
    }
}
