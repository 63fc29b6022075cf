"""Many users at once, on two processes of the todo service and one Postgres."""
