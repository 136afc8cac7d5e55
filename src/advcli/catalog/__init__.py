"""Which methods exist and which options they have; nothing heavy is imported here."""
