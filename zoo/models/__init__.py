"""The models, one module a family; importing a module registers its models."""
