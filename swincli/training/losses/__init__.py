"""What a step minimises: adversarial losses, their terms (regularisers), penalties, and what they remember."""
