"""Models, one module for each family; importing a module registers its models."""
