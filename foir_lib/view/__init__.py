"""What a person sees: :mod:`figures` for pages, :mod:`widgets` to point and pick with, :mod:`explorers` made of both."""
