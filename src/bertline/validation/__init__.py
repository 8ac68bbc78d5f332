"""Great Expectations, in code: the suites and the gate that runs them. The only room that imports it."""
