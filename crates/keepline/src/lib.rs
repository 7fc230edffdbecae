//! keepline.
