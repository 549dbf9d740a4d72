//! The data plane on Pingora: one connection from accept to close.
