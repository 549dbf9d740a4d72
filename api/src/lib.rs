//! What the control plane speaks: the JSON of its requests and answers.
//!
//! Not here: routes and decisions (`gateway`). Invariant: a secret goes in and never comes out; no answer has a field for one.
