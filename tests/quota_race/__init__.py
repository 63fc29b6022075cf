"""Many runs in several processes against one quota, some of them killed while they hold reservations."""
