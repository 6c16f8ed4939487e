"""The sentences of reflection: what an image-text model is asked about a first answer (thesis 3.2), one place for asking and for teaching."""

SHOWS = "Does the picture show {name}?"  # the thesis' question, {name} with its article
SAME = "Do the two pictures show the same thing?"  # ours, of a stored view and a candidate
HAS = "Is the {key} of the thing {value}?"  # ours, of a stored property
WHAT = "What does the picture show?"  # ours, for an answer that no list guides
CHOOSE = "What is the image? Choose one from {names}."  # what reflection is set against, {names} a list of labels: the thesis quotes these
STEPS = "What is the image? Choose one from {names}. Let's think step-by-step."
RANK = "Rank the {names} from most to least likely to describe the input image."
WHY = "Does the picture show {name}? Say why."  # ours, for the reason on demand
NAMED = "Names in picture: {names}. {question}"  # the connector hands over what encoders say (wording ours)
ARTICLES = ("a", "an", "the", "my", "your", "his", "her", "its", "our", "their", "this", "that")


def with_article(name: str) -> str:
    """ "a mug", "an orange ring", as in "Does the picture show a/an {name}?"; a name with an article, or of somebody ("the lab's mug"), keeps it."""
    words = name.split()
    if not words or words[0].lower() in ARTICLES or words[0].endswith(("'s", "s'", "\u2019s")):
        return " ".join(words)
    return f"{'an' if words[0][0].lower() in 'aeiou' else 'a'} {' '.join(words)}"
