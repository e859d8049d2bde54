import re

from mesh import errors


def drawn_tree() -> dict[str, str]:
    """Child to parent, as the docstring of `mesh.errors` draws it."""
    assert errors.__doc__ is not None
    found: dict[str, str] = {}
    open_at: list[tuple[int, str]] = []
    for line in errors.__doc__.splitlines():
        node = re.match(r"    ([│├└─ ]*)([A-Z]\w+)", line)
        if node is None:
            continue
        depth, name = len(node[1]), node[2]
        while open_at and open_at[-1][0] >= depth:
            open_at.pop()
        if open_at:
            found[name] = open_at[-1][1]
        open_at.append((depth, name))
    return found


def test_the_drawing_shows_every_error_at_its_place_and_no_other():
    classes = [value for value in vars(errors).values() if isinstance(value, type) and value is not errors.MeshError]
    assert drawn_tree() == {error.__name__: error.__bases__[0].__name__ for error in classes}


def test_a_malformed_frame_names_its_kind_in_the_message():
    error = errors.MalformedFrame("digest", "the digest does not match the content")
    assert (error.kind, error.detail) == ("digest", "the digest does not match the content")
    assert str(error) == "malformed frame (digest): the digest does not match the content"


def test_a_refusal_keeps_its_code_apart_from_its_sentence():
    error = errors.ConsumerHeld("held", "consumer 'a' is attached")
    assert (error.code, str(error)) == ("held", "consumer 'a' is attached")
