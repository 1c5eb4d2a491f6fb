"""Hand-made docstrings, read as a person would read them."""

import pytest

from metastudy.docstrings import is_prose, parse, plain, see_also_names

NUMPYDOC = """
    norm(x, ord=None)
    Matrix or vector norm of an array. It works for all orders.

    The :func:`~numpy.linalg.norm` of ``x`` is **always** real [1]_.

    .. versionadded:: 1.8
       Not prose at all.

    .. note:: A note is prose.

    Parameters
    ----------
    x : array_like
        Input array. Must be finite.
    ord : {int, 'fro'}, optional
        Order of the norm, see e.g. the table below.

    Returns
    -------
    n : float
        Norm of the matrix.

    See Also
    --------
    scipy.linalg.norm : Similar function.
    det, :func:`inv`

    Notes
    -----
    Values are found like this::

        code = here()

    >>> doctest
    output of it

    - first thing in a list
    - second thing in a list

    .. math:: x^2

    References
    ----------
    .. [1] Somebody, A book. 1985.

    Examples
    --------
    >>> norm([1])
    This is no prose either.
"""

GOOGLE = """Applies a layer to the data.

    Some longer text about it.

    Args:
        in_features (int): size of each input sample
        bias: If set to ``False``, nothing is added.
            Default: ``True``

    Returns:
        Tensor: the output of the layer.

    Example::

        >>> m = nn.Linear(20, 30)

    Text after the sections is prose.
    """


def test_numpydoc_summary_body_and_links():
    doc = parse(NUMPYDOC)
    summary, body = doc.summary_and_body()
    assert summary == "Matrix or vector norm of an array."
    assert body == (
        "It works for all orders.",
        "The `numpy.linalg.norm` of `x` is always real.",
        "A note is prose.",
        "Must be finite.",
        "Order of the norm, see e.g. the table below.",
        "Norm of the matrix.",
        "Values are found like this",
        "first thing in a list",
        "second thing in a list",
    )
    assert doc.see_also == ("scipy.linalg.norm", "det", "inv")


def test_google_sections():
    summary, body = parse(GOOGLE).summary_and_body()
    assert summary == "Applies a layer to the data."
    assert body[0] == "Some longer text about it."
    assert "size of each input sample" in body
    assert any(s.startswith("If set to `False`") for s in body)
    assert "the output of the layer." in body
    assert body[-1] == "Text after the sections is prose."
    assert not any("nn.Linear" in s or "in_features" in s for s in body)


def test_sections_underlined_with_equal_signs():
    doc = parse(
        "Find a root of it.\n\nExplanation\n===========\n\nIt is found slowly.\n\nExamples\n========\n\nNo text."
    )
    _, body = doc.summary_and_body()
    assert body == ("It is found slowly.",)


def test_a_sentence_said_twice_counts_once_and_the_summary_is_no_body():
    _, body = parse("Do a thing well.\n\nDo a thing well. The default is None. The default is None.").summary_and_body()
    assert body == ("The default is None.",)


@pytest.mark.parametrize("empty", ["", "\n\n", "Parameters\n----------\nx : int\n", ">>> f(1)"])
def test_text_without_prose_has_no_summary(empty):
    assert parse(empty).summary_and_body()[0] == ""


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        (":class:`~pandas.DataFrame` is here", "`pandas.DataFrame` is here"),
        ("where :math:`a < b` holds", "where `a < b` holds"),
        (":ref:`the guide <user_guide>` is here", "`the guide` is here"),
        ("`the paper <https://example.org>`_ says", "the paper says"),
        ("a *very* **bold** word", "a very bold word"),
        ("pass *args and **kwargs on", "pass *args and **kwargs on"),
        ("the operators `*` and `**`", "the operators `*` and `**`"),
        ("too   much\n space .", "too much space."),
    ],
)
def test_inline_markup(markup, text):
    assert plain(markup) == text


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("a, b.c : text, with comma", ["a", "b.c"]),
        (":meth:`DataFrame.join` : text", ["DataFrame.join"]),
        ("numpy.fft : text", ["numpy.fft"]),
        ("no names here at all", []),
    ],
)
def test_see_also_names(line, names):
    assert see_also_names([line]) == names


def test_what_is_prose():
    assert is_prose("Whether to copy the data.")
    assert not is_prose("None.")
    assert not is_prose("Some text with %(axis)s inside it")
    assert not is_prose("x = [1, 2, 3, 4, 5] + y[0:2] == 1 for all i")
