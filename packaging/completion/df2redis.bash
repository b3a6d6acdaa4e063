# bash completion for df2redis(1)

# The tasks of this host: the files in /etc/df2redis.
_df2redis_tasks() {
    local file
    for file in /etc/df2redis/*.yaml; do
        [[ -e $file && $file != */example.yaml ]] || continue
        file=${file##*/}
        echo "${file%.yaml}"
    done
}

_df2redis() {
    local cur prev words cword
    _init_completion || return

    case $prev in
        --check)
            if [[ ${words[1]-} == cutover ]]; then
                mapfile -t COMPREPLY < <(compgen -W 'none all 1% 5% 10%' -- "$cur")
            else
                _filedir '@(yaml|yml)'
            fi
            return
            ;;
        --config)
            _filedir '@(yaml|yml)'
            return
            ;;
        --output | --from)
            _filedir
            return
            ;;
        --mode)
            mapfile -t COMPREPLY < <(compgen -W 'outline length value' -- "$cur")
            return
            ;;
        --sample | --filter | --databases | --qps | --parallel | --settle | --pause-limit | --timeout | --tries | --pause | \
            --keys-per-second | --db) return ;;
        --task-name)
            mapfile -t COMPREPLY < <(compgen -W "$(_df2redis_tasks)" -- "$cur")
            return
            ;;
    esac

    local choices
    case ${words[1]-} in
        replicate | migrate) choices='--config --task-name --version --help' ;;
        preflight) choices='--config --task-name --json --version --help' ;;
        check)
            choices='--config --task-name --mode --sample --filter --databases --qps --parallel --settle --output --json'
            choices+=' --version --help'
            ;;
        config) choices='--check --task-name --print-default --version --help' ;;
        status) choices="--json --watch --version --help $(_df2redis_tasks)" ;;
        stop) choices="--timeout --force --version --help $(_df2redis_tasks)" ;;
        cutover)
            choices='--config --pause-limit --no-pause --no-verify --check --dry-run --undo --version --help'
            choices+=" $(_df2redis_tasks)"
            ;;
        verify) choices="--keys-per-second --no-wait --version --help $(_df2redis_tasks)" ;;
        refresh) choices="--db --from --keys-per-second --no-wait --version --help $(_df2redis_tasks)" ;;
        monitor) choices='--config --task-name --version --help' ;;
        health) choices="--tries --pause --restart --version --help $(_df2redis_tasks)" ;;
        help) choices='replicate migrate preflight check config status stop verify refresh cutover monitor health' ;;
        *) choices='replicate migrate preflight check config status stop verify refresh cutover monitor health help --version --help' ;;
    esac
    ((cword > 1)) || choices='replicate migrate preflight check config status stop verify refresh cutover monitor health help --version --help'
    mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$cur")
} && complete -F _df2redis df2redis
