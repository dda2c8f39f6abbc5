"""The invented company behind `shortlist simulate`: its people, its content, and what they do on a day."""
