//! Plans and outcomes as tables, JSON, YAML.
