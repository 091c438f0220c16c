"""Header names are learnt as each client spells them, and only so many."""

from apidanalytics.ingest.spellings import END, MAX_REMEMBERED, Spellings

PLAIN = (b"Host", b"Content-TYPE", END)


def test_names_are_found_by_their_lower_case():
    assert Spellings().names(PLAIN) == {b"host": b"Host", b"content-type": b"Content-TYPE"}


def test_trailers_are_no_headers():
    assert Spellings().names((b"Host", END, b"Content-Type")) == {b"host": b"Host"}


def test_plain_ones_are_known_once_they_were_seen():
    spellings = Spellings()
    assert spellings.plain(PLAIN) is None
    names = spellings.names(PLAIN)
    assert spellings.plain(PLAIN) is names is spellings.names(PLAIN)


def test_unusual_ones_and_those_without_host_are_never_plain():
    spellings = Spellings()
    for sent in [(b"Host", b"EXPECT", END), (b"Host", b"Connection", END), (b"Accept", END), (END,)]:
        spellings.names(sent)
        assert spellings.plain(sent) is None


def test_however_many_names_are_made_up_few_are_kept_and_the_others_are_learnt_again():
    spellings = Spellings()
    for number in range(3 * MAX_REMEMBERED):
        spellings.names((b"Host", b"X-%d" % number, END))
        assert len(spellings._all) <= MAX_REMEMBERED
        assert len(spellings._plain) <= MAX_REMEMBERED
    spellings.names(PLAIN)
    assert spellings.plain(PLAIN)


def test_long_names_are_not_kept():
    spellings = Spellings()
    sent = (b"Host", b"x" * 2000, END)
    assert spellings.names(sent)[b"x" * 2000] == b"x" * 2000
    assert spellings.plain(sent) is None
