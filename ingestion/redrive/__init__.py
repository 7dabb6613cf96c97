"""The way out of quarantine: rejected bytes, repaired where asked, judged as the edge judges, produced to the topic of live events.

Reads no lake and no bronze: whoever calls brings the records. What was done is in `storage.control.redrives`.
"""
