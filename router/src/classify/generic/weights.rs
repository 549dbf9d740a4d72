//! The weights of the model.
//!
//! Made offline by logistic regression (L2, C = 3, chosen by five-fold cross-validation with whole repositories left out)
//! over the values that `examples/classify_features.rs` prints for a labelled set of code, configuration and logs.

use super::FEATURES;

/// The score of a value without any feature.
pub(super) const BIAS: f32 = -1.773;

/// One weight per feature.
#[rustfmt::skip]
pub(super) const WEIGHTS: [f32; FEATURES] = [
    -4.55, -1.36, 0.07, 0.07, 1.32, 1.42, 1.75, 0.30,
    -0.50, 0.70, -0.65, 0.72, 0.37, -0.43, -1.14, -1.85,
    -0.65, -1.46, -0.88, -2.47, -2.14, -1.20, -2.04, -1.29,
    -0.10, 1.74, 1.76, 0.22, 0.66, 0.10, 0.30, 2.75,
    -0.10, 0.26, -0.41, -1.25, 0.51, -0.35, -1.24, 1.40,
    1.07, -1.18, 0.25, -0.23, 0.41, -3.47, 0.96, -1.75,
    -0.92, -0.44, 2.03, 1.70, -1.96, 1.12, 0.82, -0.86,
    -1.13, 4.89, 0.46, -0.08, 0.65, 0.14, -0.05, -1.14,
];
