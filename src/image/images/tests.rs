//! Images through the facade, from layouts made by hand.
