//! To come.
pub(crate) const PLACEHOLDER: () = ();
