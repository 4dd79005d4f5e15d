# SPDX-License-Identifier: Apache-2.0
# man.awk - a page's source, in Markdown with a few lines of its own, into a
# manual page (man(7) macros).
#
#   @title NAME SECTION DATE TEXT       the head of the page; first line
#   @include FILE [| HEADING]           a document, or one section of it
#   @verbs PROGRAM                      each verb's --help
#   @synopsis PROGRAM                   each verb in one line
#   @options PROGRAM                    the text of PROGRAM --help
#   @directives FOLDER                  each FOLDER/*.md
#
# So a page says what the documents and the programs say, and is never behind.
# Of Markdown it knows what our documents use: headings, paragraphs, bullets,
# tables, indented and fenced code, `code`, **bold** and links.
#
# Variables: top (of the sources), build (of what is built), version.

function escape(text) {
    gsub(/\\/, "\\e", text)
    return text
}

# Code may be copied: a hyphen must stay one.
function code(text) {
    text = escape(text)
    gsub(/-/, "\\-", text)
    return text
}

function guard(text) {
    return text ~ /^[.']/ ? "\\&" text : text
}

function inline(text,    out, at, word) {
    out = ""
    while (match(text, /`[^`]+`|\*\*[^*]+\*\*|\[[^][]+\]\([^)]*\)/)) {
        at = RSTART
        word = substr(text, RSTART, RLENGTH)
        out = out escape(substr(text, 1, at - 1))
        text = substr(text, at + RLENGTH)
        if (word ~ /^`/)
            out = out "\\fB" code(substr(word, 2, length(word) - 2)) "\\fR"
        else if (word ~ /^\*/)
            out = out "\\fB" escape(substr(word, 3, length(word) - 4)) "\\fR"
        else
            out = out escape(substr(word, 2, index(word, "](") - 2))
    }
    return out escape(text)
}

function say(text) {
    print guard(text)
    fresh = 0
}

# None behind a heading, which begins one itself.
function paragraph() {
    if (!fresh)
        print ".PP"
    fresh = 1
}

function flush_text() {
    if (text == "")
        return
    if (bullet) {
        print ".IP \\(bu 2"
        fresh = 1
    }
    else if (!continued)
        paragraph()
    say(inline(text))
    text = ""
    bullet = 0
}

function end_code() {
    if (!in_code)
        return
    print ".fi"
    print ".RE"
    in_code = 0
    fresh = 0
}

function begin_code() {
    flush_text()
    paragraph()
    print ".RS 4"
    print ".nf"
    in_code = 1
}

function heading(level, title) {
    flush_text()
    end_code()
    end_table()
    gsub(/`/, "", title)
    if (level <= top_level)
        print ".SH " toupper(escape(title))
    else
        print ".SS " escape(title)
    fresh = 1
}

function end_table() {
    table_row = 0
}

# The first cell is the tag; a column "meaning" comes first, others by name.
function row(line,    cells, n, i, body, which) {
    gsub(/\\\|/, "\001", line)
    sub(/^\|[ ]*/, "", line)
    sub(/[ ]*\|[ ]*$/, "", line)
    n = split(line, cells, /[ ]*\|[ ]*/)
    for (i = 1; i <= n; i++)
        gsub(/\001/, "|", cells[i])
    table_row++
    if (table_row == 1) {
        for (i = 1; i <= n; i++)
            titles[i] = cells[i]
        columns = n
        return
    }
    if (table_row == 2)
        return
    if (cells[1] == "") { # what is in the next column names it
        cells[1] = cells[2]
        cells[2] = ""
    }
    print ".TP"
    say(inline(cells[1]))
    which = 2
    for (i = 2; i <= columns; i++)
        if (titles[i] == "meaning")
            which = i
    body = inline(cells[which])
    print guard(body == "" ? "\\&" : body)
    for (i = 2; i <= columns; i++)
        if (i != which && cells[i] != "") {
            print ".br"
            print guard(toupper(substr(titles[i], 1, 1)) substr(titles[i], 2) ": " \
                        inline(cells[i]))
        }
}

# One line of Markdown.
function markdown(line) {
    if (fenced) {
        if (line ~ /^```/) {
            fenced = 0
            end_code()
        }
        else
            print guard(code(line))
        return
    }
    if (line ~ /^```/) {
        begin_code()
        fenced = 1
        return
    }
    if (in_code && line !~ /^    / && line != "")
        end_code()
    if (line ~ /^    / && (in_code || (text == "" && !bullet))) {
        if (!in_code)
            begin_code()
        while (blank_lines-- > 0)
            print ""
        blank_lines = 0
        print guard(code(substr(line, 5)))
        return
    }
    if (in_code) { # an empty line: more code may come
        blank_lines++
        return
    }
    blank_lines = 0
    if (line ~ /^\|/) {
        flush_text()
        row(line)
        return
    }
    end_table()
    if (line ~ /^#+ /) {
        match(line, /^#+/)
        heading(RLENGTH, substr(line, RLENGTH + 2))
    }
    else if (line ~ /^- /) {
        flush_text()
        bullet = 1
        text = substr(line, 3)
    }
    else if (line == "")
        flush_text()
    else {
        sub(/^[ ]+/, "", line)
        text = text == "" ? line : text " " line
    }
}

function finish() {
    flush_text()
    end_code()
    end_table()
}

function level_of(line) {
    return match(line, /^#+ /) ? RLENGTH - 1 : 0
}

# Only what stands below `wanted`, up to the next heading as high.
function include(file, wanted,    line, on, depth, level, kept) {
    kept = top_level
    on = wanted == ""
    depth = 0
    if (on)
        top_level = 2
    while ((getline line < (top "/" file)) > 0) {
        level = level_of(line)
        if (wanted != "" && level > 0 && !fenced) {
            if (on && level <= depth)
                on = 0
            if (line == wanted) {
                on = found = 1
                depth = level
                continue
            }
        }
        if (on && level != 1)
            markdown(line)
    }
    close(top "/" file)
    finish()
    if (wanted != "" && !found) {
        print "man.awk: no '" wanted "' in " file | "cat >&2"
        failed = 1
    }
    found = 0
    top_level = kept
}

# ---- programs -----------------------------------------------------------------

function option_line(line,    tag, rest) {
    sub(/^ +/, "", line)
    match(line, /  +/)
    tag = RSTART > 0 ? substr(line, 1, RSTART - 1) : line
    rest = RSTART > 0 ? substr(line, RSTART + RLENGTH) : ""
    print ".TP"
    print "\\fB" code(tag) "\\fR"
    fresh = 0
    if (rest != "")
        say(escape(rest))
}

# The text of a --help, its first line (usage) left out.
function help(command,    line, first, options) {
    first = 1
    options = 0
    while ((command | getline line) > 0) {
        if (first) {
            first = 0
            continue
        }
        if (line == "") {
            flush_text()
            options = 0
        }
        else if (line ~ /^ +(-|[0-9]+  )/) {
            flush_text()
            option_line(line)
            options = 1
        }
        else if (options && line ~ /^ /) {
            sub(/^ +/, "", line)
            say(escape(line))
        }
        else {
            sub(/^ +/, "", line)
            text = text == "" ? line : text " " line
        }
    }
    close(command)
    finish()
}

function list_verbs(program, verbs,    command, line, n, words) {
    command = build "/" program " --help"
    n = 0
    while ((command | getline line) > 0) {
        if (line ~ /^  [a-z]/) {
            split(line, words, / +/)
            verbs[++n] = words[2]
        }
    }
    close(command)
    if (n == 0)
        failed = 1
    return n
}

function usage(program, verb,    command, line) {
    command = build "/" program " " verb " --help"
    command | getline line
    close(command)
    sub(/^usage: /, "", line)
    return line
}

function verbs(program,    list, n, i) {
    n = list_verbs(program, list)
    for (i = 1; i <= n; i++) {
        print ".SS " code(usage(program, list[i]))
        fresh = 1
        help(build "/" program " " list[i] " --help")
    }
}

function synopsis(program,    list, n, i, line, name) {
    n = list_verbs(program, list)
    for (i = 1; i <= n; i++) {
        line = usage(program, list[i])
        name = line
        sub(/ [^ ]+ .*$| [^ ]+$/, "", name)
        if (i > 1)
            print ".br"
        print "\\fB" code(name " " list[i]) "\\fR" code(substr(line, length(name " " list[i]) + 1))
        fresh = 0
    }
}

# ---- directives ---------------------------------------------------------------

function directive(file,    line, front, name) {
    name = file
    gsub(/^.*\/|\.md$/, "", name)
    print ".SS " name
    fresh = 1
    front = 0
    while ((getline line < file) > 0) {
        if (line == "---") {
            if (++front == 2)
                paragraph()
        }
        else if (front == 1 && line ~ /^(Syntax|Default|Context):/) {
            if (!fresh)
                print ".br"
            say("\\fI" substr(line, 1, index(line, ":")) "\\fR" \
                code(substr(line, index(line, ":") + 1)))
        }
        else if (front == 1 && line ~ /^Example:/)
            example = substr(line, 10)
        else if (front >= 2 && line !~ /^# /)
            markdown(line)
    }
    close(file)
    finish()
    if (example != "") {
        begin_code()
        print guard(code(example))
        end_code()
    }
    example = ""
}

function directives(folder,    command, file) {
    command = "ls " top "/" folder "/*.md"
    while ((command | getline file) > 0)
        directive(file)
    close(command)
}

# ---- a page -------------------------------------------------------------------

BEGIN {
    top_level = 2
    fresh = 1
}

/^@title / {
    name = $2
    section = $3
    date = $4
    sub(/^@title [^ ]+ [^ ]+ [^ ]+ /, "")
    print ".\\\" Made by man.awk from its source and the documents; do not edit."
    print ".TH " toupper(name) " " section " " date " \"commserver " version "\" \"" $0 "\""
    next
}

/^@include / {
    finish()
    line = $0
    sub(/^@include /, "", line)
    if (split(line, parts, / \| /) == 2)
        include(parts[1], parts[2])
    else
        include(line, "")
    next
}

/^@verbs / { finish(); verbs($2); next }
/^@synopsis / { finish(); synopsis($2); next }
/^@options / { finish(); help(build "/" $2 " --help"); next }
/^@directives / { finish(); directives($2); next }
{ markdown($0) }

END {
    finish()
    exit failed
}
