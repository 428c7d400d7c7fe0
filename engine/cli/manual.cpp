#include "engine/cli/manual.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace esmm {

namespace {

/// The values to choose from; empty when the value is free.
std::vector<std::string> choices_of(const FlagText& flag) {
  std::vector<std::string> choices;
  if (flag.value.find('|') == std::string::npos) return choices;
  for (std::size_t begin = 0; begin <= flag.value.size();) {
    const std::size_t end = std::min(flag.value.find('|', begin), flag.value.size());
    choices.push_back(flag.value.substr(begin, end - begin));
    begin = end + 1;
  }
  return choices;
}

bool is_positional(const FlagText& flag) {
  return !flag.name.starts_with('-');
}
bool names_a_file(const FlagText& flag) {
  for (const char* placeholder : {"PATH", "DIR", "RUN", "FILE"}) {
    if (flag.value.starts_with(placeholder)) return true;
  }
  return is_positional(flag);
}

std::string replaced(const std::string& text, const std::vector<std::pair<char, std::string>>& replacements) {
  std::string out;
  for (const char c : text) {
    const auto found =
        std::find_if(replacements.begin(), replacements.end(), [&](const auto& r) { return r.first == c; });
    out += found == replacements.end() ? std::string(1, c) : found->second;
  }
  return out;
}

std::string flag_words(const CommandText& command) {
  std::string words;
  for (const FlagText& flag : command.flags) {
    if (!is_positional(flag)) words += (words.empty() ? "" : " ") + flag.name;
  }
  return words;
}

std::string command_words(const std::vector<CommandText>& commands) {
  std::string words;
  for (const CommandText& command : commands) words += command.name + " ";
  return words + "--help --version";
}

// ---- zsh ------------------------------------------------------------------------------------------------------------

/// Text inside a single-quoted argument of _arguments or _describe.
std::string zsh_text(const std::string& text) {
  return replaced(text, {{'\'', "'\\''"}, {'[', "\\["}, {']', "\\]"}, {':', "\\:"}});
}

std::string zsh_flag(const FlagText& flag) {
  const std::vector<std::string> choices = choices_of(flag);
  std::string action;
  if (!choices.empty()) action = fmt::format("({})", zsh_text(fmt::format("{}", fmt::join(choices, " "))));
  if (choices.empty() && names_a_file(flag)) action = "_files";
  if (is_positional(flag)) return fmt::format("'1:{}:{}'", flag.name, action);
  const std::string value = flag.value.empty() ? "" : fmt::format(":value:{}", action);
  return fmt::format("'{}[{}]{}'", flag.name, zsh_text(flag.help), value);
}

// ---- man ------------------------------------------------------------------------------------------------------------

std::string man_text(const std::string& text) {
  const std::string escaped = replaced(text, {{'\\', "\\e"}, {'-', "\\-"}});
  return escaped.starts_with('.') || escaped.starts_with('\'') ? "\\&" + escaped : escaped;
}

std::string man_flag(const FlagText& flag) {
  const std::string value = flag.value.empty() ? "" : fmt::format(" \\fI{}\\fR", man_text(flag.value));
  return fmt::format(".TP\n\\fB{}\\fR{}\n{}\n", man_text(flag.name), value, man_text(flag.help));
}

std::string man_examples(const std::vector<std::string>& examples) {
  std::string text;
  for (const std::string& example : examples) text += fmt::format("{}\n", man_text(example));
  return text.empty() ? text : fmt::format(".PP\n.nf\n.RS\n{}.RE\n.fi\n", text);
}

std::string man_command(const CommandText& command) {
  std::string text =
      fmt::format(".SS {}\n{}\n{}", command.name, man_text(command.purpose), man_examples(command.examples));
  std::string group;
  for (const FlagText& flag : command.flags) {
    if (flag.group != group) text += fmt::format(".PP\n{}:\n", man_text(flag.group));
    group = flag.group;
    text += man_flag(flag);
  }
  return text;
}

}  // namespace

std::string bash_completion(const std::vector<CommandText>& commands) {
  std::map<std::string, std::string> values;  // how to complete the value of each flag; the same for every command
  std::string flags;
  for (const CommandText& command : commands) {
    for (const FlagText& flag : command.flags) {
      if (is_positional(flag) || flag.value.empty()) continue;
      const std::vector<std::string> choices = choices_of(flag);
      values[flag.name] = !choices.empty()     ? fmt::format("-W '{}'", fmt::join(choices, " "))
                          : names_a_file(flag) ? "-f"
                                               : "-W ''";
    }
    flags += fmt::format("    {}) words='{}' ;;\n", command.name, flag_words(command));
  }
  std::string cases;
  for (const auto& [flag, how] : values) {
    cases += fmt::format("    {}) mapfile -t COMPREPLY < <(compgen {} -- \"$current\"); return ;;\n", flag, how);
  }
  return fmt::format(
      "# bash completion of esmm_gpu: source it, or save it as /usr/share/bash-completion/completions/esmm_gpu\n"
      "_esmm_gpu() {{\n"
      "  local current=${{COMP_WORDS[COMP_CWORD]}} words=''\n"
      "  COMPREPLY=()\n"
      "  if ((COMP_CWORD == 1)); then\n"
      "    mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$current\")\n"
      "    return\n"
      "  fi\n"
      "  case ${{COMP_WORDS[COMP_CWORD - 1]}} in\n{}"
      "  esac\n"
      "  case ${{COMP_WORDS[1]}} in\n{}"
      "  esac\n"
      "  if [[ $current == -* ]]; then\n"
      "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
      "  else\n"
      "    mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
      "  fi\n"
      "}}\n"
      "complete -o filenames -F _esmm_gpu esmm_gpu\n",
      command_words(commands), cases, flags);
}

std::string zsh_completion(const std::vector<CommandText>& commands) {
  std::string described, cases;
  for (const CommandText& command : commands) {
    described += fmt::format("    '{}:{}'\n", command.name, zsh_text(command.purpose));
    cases += fmt::format("    {})\n      _arguments", command.name);
    for (const FlagText& flag : command.flags) cases += fmt::format(" \\\n        {}", zsh_flag(flag));
    cases += "\n      ;;\n";
  }
  return fmt::format(
      "#compdef esmm_gpu\n"
      "# zsh completion of esmm_gpu: save it as _esmm_gpu in a directory of $fpath\n"
      "_esmm_gpu() {{\n"
      "  local -a commands\n"
      "  commands=(\n{}  )\n"
      "  if ((CURRENT == 2)); then\n"
      "    _describe command commands\n"
      "    return\n"
      "  fi\n"
      "  shift words\n"
      "  ((CURRENT--))\n"
      "  case $words[1] in\n{}"
      "  esac\n"
      "}}\n"
      "_esmm_gpu \"$@\"\n",
      described, cases);
}

std::string manual_page(const std::vector<CommandText>& commands, const std::string& version) {
  std::string text = fmt::format(
      ".TH ESMM_GPU 1 \"\" \"esmm_gpu {}\" \"User Commands\"\n"
      ".SH NAME\nesmm_gpu \\- train ESMM: pCTR and pCVR over the entire space of impressions\n"
      ".SH SYNOPSIS\n\\fBesmm_gpu\\fR \\fICOMMAND\\fR [\\fIFLAGS\\fR]\n"
      ".SH DESCRIPTION\nTrains the Entire Space Multi\\-task Model (arXiv:1804.07931) on logs of impressions, clicks "
      "and "
      "conversions, evaluates it, predicts with it and exports it for serving. A command's result goes to stdout; "
      "progress, warnings and errors go to stderr. Every flag of \\fBtrain\\fR is also a key of the TOML file given "
      "with "
      "\\fB\\-\\-config\\fR; flags win.\n"
      ".SH COMMANDS\n",
      man_text(version));
  for (const CommandText& command : commands) text += man_command(command);
  text += ".SH EXIT STATUS\n";
  for (const auto& [code, meaning] : std::vector<std::pair<int, std::string>>{{0, "done"},
                                                                              {1, "internal error"},
                                                                              {2, "bad usage or configuration"},
                                                                              {3, "bad input data"},
                                                                              {4, "device missing or out of memory"},
                                                                              {5, "I/O error"},
                                                                              {130, "interrupted"}}) {
    text += fmt::format(".TP\n{}\n{}\n", code, meaning);
  }
  return text;
}

}  // namespace esmm
