"""From stored measurements to tables (JSON, CSV, Markdown), plots and a page. Measures nothing."""
