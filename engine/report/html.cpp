#include "engine/report/html.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace esmm::report {

std::string escape(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') {
          escaped += "\uFFFD";
        } else {
          escaped += c;
        }
    }
  }
  return escaped;
}

Cell text(std::string value) {
  return {std::move(value)};
}
Cell code(std::string value) {
  return {std::move(value), Cell::Kind::code};
}
Cell number(std::string value) {
  return {std::move(value), Cell::Kind::number};
}

Cell share(double part, double whole) {
  if (!(whole > 0)) return number("–");
  const double value = part / whole;
  const double percent = 100 * value;
  Cell cell = number(percent > 0 && percent < 1 ? fmt::format("{:.2g} %", percent) : fmt::format("{:.1f} %", percent));
  cell.bar = std::clamp(value, 0.0, 1.0);
  return cell;
}

Cell count(std::uint64_t value) {
  const std::string digits = std::to_string(value);
  std::string grouped;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) grouped += "\u202F";
    grouped += digits[i];
  }
  return number(grouped);
}

namespace {

std::string cell_html(const Cell& cell, std::string_view tag, std::string_view scope) {
  std::string content = escape(cell.text);
  if (cell.kind == Cell::Kind::code) content = "<code>" + content + "</code>";
  if (cell.strong) content = "<strong>" + content + "</strong>";
  if (cell.bar) content = fmt::format("<i class=\"bar\" style=\"width:{:.1f}%\"></i>{}", 100 * *cell.bar, content);
  return fmt::format("<{0}{1}{2}>{3}</{0}>", tag, cell.kind == Cell::Kind::number ? " class=\"n\"" : "", scope,
                     content);
}

}  // namespace

std::string Table::html() const {
  std::string html = "<div class=\"wide\"><table>\n";
  if (!caption_.empty()) html += fmt::format("<caption>{}</caption>\n", escape(caption_));
  html += "<thead><tr>";
  for (const Cell& head : heads_) html += cell_html(head, "th", " scope=\"col\"");
  html += "</tr></thead>\n<tbody>\n";
  for (const auto& row : rows_) {
    html += "<tr>";
    for (std::size_t c = 0; c < row.size(); ++c) {
      html += c == 0 ? cell_html(row[c], "th", " scope=\"row\"") : cell_html(row[c], "td", "");
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

}  // namespace esmm::report
