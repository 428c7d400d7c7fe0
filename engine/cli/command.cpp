#include "engine/cli/command.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "engine/config_options.hpp"
#include "io/messages.hpp"
#include "kernels/error.hpp"

namespace esmm {

namespace {
constexpr const char* kOwnGroup = "Flags";

const std::vector<OptionInfo>& all_options() {
  static const std::vector<OptionInfo> infos = describe_options();
  return infos;
}
}  // namespace

Command::Command(CLI::App& program, const std::string& name, const std::string& purpose)
    : app_(program.add_subcommand(name, purpose)) {
  app_->allow_extras();  // so that check_unknown can name the flag that was meant
  app_->set_version_flag("--version", ESMM_VERSION);
  app_->group("Commands");
}

void Command::config_flag(std::string_view flag, const std::string& help, const std::string& value) {
  const auto info =
      std::find_if(all_options().begin(), all_options().end(), [&](const auto& i) { return i.flag == flag; });
  if (info == all_options().end()) throw internal_error("no option {} in Config", flag);
  const std::string name = "--" + info->flag;
  CLI::Option* option = info->is_switch ? app_->add_flag(name) : app_->add_option(name);
  option->description(help.empty() ? info->help : help)->group(info->group);
  if (!info->is_switch) option->type_name(value.empty() ? info->value : value);
  config_flags_.push_back(info->flag);
}

void Command::all_config_flags() {
  for (const OptionInfo& info : all_options()) config_flag(info.flag);
}

void Command::common_flags() {
  for (const OptionInfo& info : all_options()) {
    if (info.group == "System") config_flag(info.flag);
  }
}

void Command::flag(const std::string& name, const std::string& value, const std::string& help) {
  app_->add_option("--" + name)->type_name(value)->description(help)->group(kOwnGroup);
}

void Command::json_flag(const std::string& result) {
  app_->add_flag("--json")->description(fmt::format("print {} as one JSON document", result))->group(kOwnGroup);
}

void Command::positional(const std::string& name, const std::string& help) {
  app_->add_option(name)->type_name("")->description(help);
}

void Command::positionals(const std::string& name, const std::string& help) {
  app_->add_option(name)->type_name("")->description(help)->expected(1, -1)->allow_extra_args();
}

void Command::example(const std::string& line) {
  examples_.push_back(line);
  app_->footer(fmt::format("Examples:\n  {}", fmt::join(examples_, "\n  ")));
}

CommandText Command::text() const {
  CommandText text{app_->get_name(), app_->get_description(), {}, examples_};
  for (const std::string& group : app_->get_groups()) {
    for (const CLI::Option* option : app_->get_options([&](const CLI::Option* o) { return o->get_group() == group; })) {
      const bool takes_value = option->get_items_expected_max() > 0 && !option->get_positional();
      text.flags.push_back({option->get_positional() ? option->get_single_name() : "--" + option->get_single_name(),
                            takes_value ? option->get_type_name() : "", group, option->get_description()});
    }
  }
  return text;
}

void Command::check_unknown() const {
  const std::vector<std::string> unknown = app_->remaining();
  if (unknown.empty()) return;
  const std::string& first = unknown.front();
  if (!first.starts_with('-')) {
    throw usage_error("{}: unexpected argument \"{}\". See esmm_gpu {} --help.", name(), first, name());
  }
  std::vector<std::string> known;
  for (const CLI::Option* option : app_->get_options()) known.push_back(option->get_name());
  const std::string typed = first.substr(0, first.find('='));
  throw usage_error("{}: no such flag: {}. {}", name(), typed,
                    did_you_mean(typed, known, fmt::format("See esmm_gpu {} --help.", name())));
}

bool Command::given(const std::string& flag) const {
  return app_->get_option(flag)->count() > 0;
}

std::string Command::get(const std::string& flag) const {
  return given(flag) ? app_->get_option(flag)->results().front() : std::string();
}

std::vector<std::string> Command::all(const std::string& name) const {
  return given(name) ? app_->get_option(name)->results() : std::vector<std::string>();
}

std::string Command::require(const std::string& flag, const std::string& remedy) const {
  std::string value = get(flag);
  if (value.empty()) throw usage_error("{}: {} is needed. {}", name(), flag, remedy);
  return value;
}

std::vector<FlagValue> Command::config_values() const {
  std::vector<FlagValue> values;
  for (const std::string& flag : config_flags_) {
    if (given("--" + flag)) values.push_back({flag, get("--" + flag)});
  }
  return values;
}

}  // namespace esmm
