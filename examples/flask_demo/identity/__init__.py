"""An OpenID Connect provider for development: whoever types a name is signed in. Never for anything else."""
