"""Trust: who may come in, what that one may do, whom we believe, and where we may go."""
