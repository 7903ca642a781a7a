"""Other people's servers and stream processors, each in an environment of its own, beside which ours is measured."""
