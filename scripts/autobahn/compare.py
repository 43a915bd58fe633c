# Compares the results of the fuzzing client with the expected ones, or writes them as expected (--write). Python 2.7, as the client.
import io
import json
import sys

HEAD = u"""\
# Expected results of the Autobahn fuzzing client: case, behaviour, behaviour on close, our close code.
# Written by `make autobahn-expect`. `make autobahn` fails on any difference, and on a FAILED case even if expected.
"""
PASSED = ("OK", "NON-STRICT", "INFORMATIONAL")


def number(case):
    return [int(part) for part in case.split(".")]


def main(index, expected, mode):
    with io.open(index, encoding="utf-8") as lines:
        [cases] = json.load(lines).values()
    seen = {}
    for case, result in cases.items():
        code = result["remoteCloseCode"]
        seen[case] = u"%s %s %s" % (result["behavior"], result["behaviorClose"], u"-" if code is None else code)
    if mode == "--write":
        with io.open(expected, "w", encoding="utf-8") as out:
            out.write(HEAD)
            for case in sorted(seen, key=number):
                out.write(u"%s %s\n" % (case, seen[case]))
    wanted = {}
    with io.open(expected, encoding="utf-8") as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                case, result = line.strip().split(" ", 1)
                wanted[case] = result
    wrong = []
    for case in sorted(set(seen) | set(wanted), key=number):
        was, want = seen.get(case, u"not run"), wanted.get(case, u"not known")
        bad = [word for word in was.split(" ")[:2] if word not in PASSED]
        if was != want or bad:
            wrong.append(u"  %-8s expected %-24s got %s" % (case, want, was))
    count = dict((word, len([1 for result in seen.values() if result.split(" ")[0] == word])) for word in PASSED)
    summary = u"%d cases: %s" % (len(seen), u", ".join(u"%d %s" % (count[word], word) for word in PASSED))
    print(u"Autobahn: " + summary)
    if wrong:
        print(u"!!! %d cases differ:" % len(wrong))
        print(u"\n".join(wrong))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:] + [""])[:3]))
