//! The weights of the model.
//!
//! Made offline by logistic regression (L2, C = 3, chosen by five-fold cross-validation with whole repositories left out)
//! over the values that `examples/classify_features.rs` prints for a labelled set of code, configuration and logs.

use super::FEATURES;

/// The score of a value without any feature.
pub(super) const BIAS: f32 = -1.908;

/// One weight per feature.
#[rustfmt::skip]
pub(super) const WEIGHTS: [f32; FEATURES] = [
    -4.41, -1.64, 0.26, -0.06, 1.22, 1.44, 1.94, 0.31,
    -0.60, 1.14, -0.90, 0.72, 0.35, -0.57, -0.99, -1.17,
    -0.50, -1.49, -1.14, -2.78, -2.95, -1.21, -2.07, -1.41,
    0.02, 1.27, 1.62, 0.06, 0.57, 0.08, 0.47, 3.58,
    0.85, 0.12, -0.58, -1.39, 0.29, -0.14, -2.16, 1.51,
    1.04, -1.43, 0.35, -0.26, 0.54, -3.37, 0.79, -1.89,
    -1.91, -0.74, 2.57, 1.68, -1.68, 1.08, 0.55, -0.23,
    -0.91, 5.08, 0.24, 0.13, 0.67, 0.29, -0.32, -1.03,
];
