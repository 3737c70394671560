"""What people set and the system remembers: customers, plans, budgets and runs."""
