"""The papers' protocols, and how a ranking method is judged against an oracle."""
