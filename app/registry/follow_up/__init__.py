"""Parents' follow-up: when they are asked, what consent covers, the letters, the links, and their answers.

Invariants: nothing is sent about a child who has died or whose parent said no, judged at the moment of sending; a letter names no child and no
condition; a link opens one Task, is kept only as a hash, and is used once; answers, score level, consent and Task change in one commit.
"""
