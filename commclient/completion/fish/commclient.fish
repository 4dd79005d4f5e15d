# SPDX-License-Identifier: Apache-2.0
# Completion of commclient for fish. Verbs and options come from --help, so
# they are those of the program that is there.

function __commclient_verb
    set -l words (commandline -opc)
    test (count $words) -ge 2; and echo $words[2]
end

function __commclient_verbs
    commclient --help 2>/dev/null | string replace -rf '^  ([a-z]+) +(.*)' '$1\t$2'
end

function __commclient_options
    commclient (__commclient_verb) --help 2>/dev/null |
        string replace -rf '^ +(?:-., )?(--[a-z-]+)(?: [A-Z][A-Za-z:]*)?(?: {2,}(.*))?$' '$1\t$2'
end

function __commclient_apps
    commclient status 2>/dev/null | awk '/^APP / { on = 1; next } on && NF { print $1 }'
end

function __commclient_takes_file
    set -l words (commandline -opc)
    contains -- $words[-1] -c --config -s --socket -i --inbox -a --ca -p --password-file --file
end

complete -c commclient -f
complete -c commclient -n 'not __commclient_verb' -a '(__commclient_verbs)'
complete -c commclient -n '__commclient_verb; and not __commclient_takes_file' -a '(__commclient_options)'
complete -c commclient -n 'contains -- (__commclient_verb) listen; and not __commclient_takes_file' -a '(__commclient_apps)'
complete -c commclient -n __commclient_takes_file -F
