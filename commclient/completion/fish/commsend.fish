# SPDX-License-Identifier: Apache-2.0
# Completion of commsend for fish. Options come from --help.

function __commsend_options
    commsend --help 2>/dev/null |
        string replace -rf '^ +(--[a-z-]+)(?: [A-Z]*)?(?: {2,}(.*))?$' '$1\t$2'
end

complete -c commsend -f -a '(__commsend_options)'
complete -c commsend -n 'contains -- (commandline -opc)[-1] --segment' -F
