"""A seeded simulation of the real state machine: real submit, worker and review over sockets that break.

What is promised, and asserted all the time (`oracle.py`):

- each run moves money at most once, and never more than was captured;
- the bytes sent are the committed bytes, and step 2 leaves only after step 1 is proved;
- no send of ours starts when the order it was judged by already showed a refund or cancel of somebody else;
- what a closed run says is what the store's ledger says; every note is written once;
- within 25 hours every run is closed.

What cannot be promised, and is therefore not counted as a double: a human who acts between our last look
and our send, or whose act our reads do not show yet; and a first send that lands late, after a human
did not heed "do not repeat". Then a person is asked, and nothing more is sent.
"""
